// Streams one answer over gRPC, with a deadline, retries and the details of errors.
//
// Usage: node chat.mjs [--deadline SECONDS] [--stop-after PIECES] MODEL TEXT
// DUOGATE is the address (127.0.0.1:50051), DUOGATE_KEY the key. Ctrl-C cancels.

import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

// No code is generated: the contract is read when the program starts.
const directories = ["../../proto", "."].map((path) => fileURLToPath(new URL(path, import.meta.url)));
const definition = protoLoader.loadSync(["duogate/v1/chat_service.proto", "google_rpc.proto"], {
  includeDirs: directories,
  keepCase: true,
  enums: String,
  oneofs: true,
});
const { ChatService } = grpc.loadPackageDefinition(definition).duogate.v1;

// Only UNAVAILABLE is safe to retry. The gateway says when, or that a retry is useless, in
// `grpc-retry-pushback-ms`, which gRPC obeys by itself.
const serviceConfig = {
  methodConfig: [
    {
      name: [{ service: "duogate.v1.ChatService" }],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: "0.5s",
        maxBackoff: "5s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
};

const tellers = {
  ErrorInfo: ({ reason }) => `reason: ${reason}`,
  RetryInfo: ({ retry_delay: { seconds, nanos } }) => `retry after: ${(Number(seconds) + nanos / 1e9).toFixed(3)} s`,
  BadRequest: ({ field_violations }) =>
    field_violations.map(({ field, description }) => `field ${field}: ${description}`).join("\n  "),
  RequestInfo: ({ request_id }) => `request: ${request_id}`,
};

// Prints a failure with its details.
function explain(error) {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  for (const bytes of error.metadata.get("grpc-status-details-bin")) {
    for (const { type_url, value } of definition["google.rpc.Status"].deserialize(bytes).details) {
      const name = type_url.split(".").at(-1);
      if (name in tellers) console.error(`  ${tellers[name](definition[`google.rpc.${name}`].deserialize(value))}`);
    }
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { deadline: { type: "string", default: "60" }, "stop-after": { type: "string", default: "0" } },
});
const [model, text] = positionals;
const client = new ChatService(process.env.DUOGATE ?? "127.0.0.1:50051", grpc.credentials.createInsecure(), {
  "grpc.service_config": JSON.stringify(serviceConfig),
  "grpc.max_receive_message_length": 20 << 20,
  "grpc.keepalive_time_ms": 30_000,
});
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.DUOGATE_KEY ?? "sk-duogate-demo"}`);
const request = { model, messages: [{ role: "ROLE_USER", content: [{ text }] }] };
// Applies to the whole chat, including retries.
const deadline = Date.now() + Number(values.deadline) * 1000;
const call = client.streamChatCompletion(request, metadata, { deadline });
process.on("SIGINT", () => call.cancel());

let pieces = 0;
call.on("data", ({ event, content }) => {
  if (event === "content") {
    process.stdout.write(content.text);
    pieces += 1;
    if (pieces === Number(values["stop-after"])) call.cancel();
  } else if (event === "finished") {
    process.stdout.write("\n"); // without this event the answer is not whole
  }
});
call.on("error", (error) => {
  explain(error);
  process.exitCode = 1;
});
call.on("close", () => client.close());
