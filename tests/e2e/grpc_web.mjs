// Chats by gRPC-Web with a client library for web pages, and prints the outcome as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { PACKAGES, IMAGE, GATEWAY, KEY, MODEL, QUESTION } = process.env;
const require = createRequire(`${PACKAGES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { createFileRegistry, fromBinary } = await load("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = await load("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = await load("@connectrpc/connect");
const { createGrpcWebTransport } = await load("@connectrpc/connect-node");

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(IMAGE)));
const transport = createGrpcWebTransport({ baseUrl: `http://${GATEWAY}`, httpVersion: "1.1" });
const client = createClient(registry.getService("duogate.v1.ChatService"), transport);
const headers = { authorization: `Bearer ${KEY}` };
const part = { part: { case: "text", value: QUESTION } };
const request = { model: MODEL, messages: [{ role: 3, content: [part] }] };

const whole = await client.createChatCompletion(request, { headers });
const events = [];
for await (const { event } of client.streamChatCompletion(request, { headers })) events.push(event);
const failure = await client.createChatCompletion({ ...request, model: "gpt-none" }, { headers }).catch((error) => error);

const told = {
  whole: whole.choices[0].message.content[0].part.value,
  streamed: events.map((event) => (event.case === "content" ? event.value.text : "")).join(""),
  last: events.at(-1).case,
  failure: Code[ConnectError.from(failure).code],
  details: ConnectError.from(failure).details.map((detail) => detail.type),
};
console.log(JSON.stringify(told));
