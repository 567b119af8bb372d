// A proxy that compresses every response it may, like many in front of Node services. Takes the upstream's address, and
// prints its own.
import { createServer, request } from "node:http";
import { createRequire } from "node:module";

const load = createRequire(`${process.env.NODE_PACKAGES}/`);
const compress = load("compression")({ threshold: 0 });
const [host, port] = process.argv[2].split(":");

const server = createServer((incoming, outgoing) =>
  compress(incoming, outgoing, () => {
    const { url: path, method, headers } = incoming;
    const forwarded = request({ host, port, path, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", (failure) => outgoing.destroy(failure));
    incoming.pipe(forwarded);
  }),
);
server.listen(0, "127.0.0.1", () => console.log(`127.0.0.1:${server.address().port}`));
