// OpenAI's own Node package.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { any as anyone, empty, strict as configured, wrongKey } from "./checks.mjs";
import { answer, answersAsked, check, checkCalls, load, model, models, name, question, rest } from "./checks.mjs";

const { default: OpenAI } = await load(name);

const client = ({ base_url, key }, more = {}) =>
  new OpenAI({ baseURL: base_url, apiKey: key, timeout: 60_000, ...more });
const messages = [{ role: "user", content: question }];
const strict = client(configured);
const any = client(anyone);

/** Drains a stream into `chunks`, which keeps what came before an error. */
async function drain(stream, chunks) {
  for await (const chunk of stream) chunks.push(chunk);
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
const finishes = (chunks) => chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter((reason) => reason);

await check("models.list tells the configured models", async () => {
  const ids = [];
  for await (const { id } of strict.models.list()) ids.push(id);
  assert.deepEqual(ids.slice(0, models.length), models);
});

await check("models.retrieve finds a name with a space", async () => {
  assert.equal((await strict.models.retrieve(model)).id, model);
});

await check("a chat is whole", async () => {
  const completion = await strict.chat.completions.create({ model, messages });
  assert.equal(completion.choices[0].message.content, answer);
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.model, model);
  assert.ok(completion.usage.total_tokens > 0);
  assert.ok(completion._request_id);
});

await check("a stream is whole and tells no usage unasked", async () => {
  const chunks = [];
  await drain(await strict.chat.completions.create({ model, messages, stream: true }), chunks);
  assert.equal(chunks[0].choices[0].delta.role, "assistant");
  assert.equal(textOf(chunks), answer);
  assert.deepEqual(finishes(chunks), ["stop"]);
  assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
});

await check("include_usage adds one last chunk without choices", async () => {
  const chunks = [];
  const options = { include_usage: true };
  await drain(await strict.chat.completions.create({ model, messages, stream: true, stream_options: options }), chunks);
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.prompt_tokens > 0 && last.usage.completion_tokens > 0);
  assert.equal(textOf(chunks), answer);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
});

await check("the SDK's own accumulator builds the same answer", async () => {
  const whole = await strict.chat.completions.stream({ model, messages }).finalChatCompletion();
  assert.equal(whole.choices[0].message.content, answer);
});

await check("a wrong key throws AuthenticationError", async () => {
  const api = client(configured, { apiKey: wrongKey });
  await assert.rejects(api.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    assert.ok(error.requestID);
    return true;
  });
});

await check("an unknown model throws NotFoundError", async () => {
  await assert.rejects(strict.chat.completions.create({ model: "gpt-none", messages }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
});

await check("empty messages throw BadRequestError that names them", async () => {
  await assert.rejects(strict.chat.completions.create({ model, messages: [] }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "messages");
    return true;
  });
});

await check("a cut stream throws APIError after content and without a finish", async () => {
  const chunks = [];
  const stream = await any.chat.completions.create({ model: "fault:cut", messages, stream: true });
  await assert.rejects(drain(stream, chunks), (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(error.code, "upstream_truncated");
    return true;
  });
  assert.ok(textOf(chunks).startsWith("You said: "));
  assert.deepEqual(finishes(chunks), []);
});

await check("a legacy completion is whole, and streams", async () => {
  const asked = { model, prompt: question, max_tokens: 100 };
  const whole = await strict.completions.create(asked);
  assert.deepEqual([whole.choices[0].text, whole.choices[0].finish_reason], [answer, "stop"]);
  const chunks = [];
  await drain(await strict.completions.create({ ...asked, stream: true }), chunks);
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), answer);
});

await check("a response is whole, and can be gone on from, looked up and deleted", async () => {
  const first = await strict.responses.create({ model, input: question });
  assert.deepEqual([first.output_text, first.status], [answer, "completed"]);
  assert.ok(first.usage.total_tokens > 0);
  const second = await strict.responses.create({ model, input: "And now?", previous_response_id: first.id });
  assert.equal(second.output_text, `You said: User: ${question}\n\nAssistant: ${answer}\n\nUser: And now?`);
  assert.equal((await strict.responses.retrieve(first.id)).output_text, answer);
  await strict.responses.delete(first.id);
  await assert.rejects(strict.responses.retrieve(first.id), OpenAI.NotFoundError);
});

await check("the SDK's own accumulator builds the same response, reasoning or not", async () => {
  for (const name of ["ordinary", "dialect:reasoning"]) {
    const types = [];
    const stream = any.responses.stream({ model: name, input: question });
    for await (const event of stream) types.push(event.type);
    const whole = await stream.finalResponse();
    assert.equal(whole.output_text, answer);
    assert.deepEqual([types.at(0), types.at(-1)], ["response.created", "response.completed"]);
  }
});

await check("a cut response throws APIError after its deltas", async () => {
  const events = [];
  const stream = await any.responses.create({ model: "fault:cut", input: question, stream: true });
  await assert.rejects(drain(stream, events), (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    assert.equal(error.code, "upstream_truncated");
    return true;
  });
  assert.ok(events.some(({ type }) => type === "response.output_text.delta"));
});

await check("a response with tools throws BadRequestError that names them", async () => {
  const tools = [{ type: "function", name: "f", parameters: {}, strict: false }];
  await assert.rejects(strict.responses.create({ model, input: question, tools }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.code, error.param], ["unsupported_parameter", "tools"]);
    return true;
  });
});

await check("withResponse and asResponse give the headers", async () => {
  const headers = { "X-Client-Request-Id": "seen-by-the-client" };
  const asked = { model, messages, temperature: 0.5 };
  const { data, response, request_id } = await strict.chat.completions.create(asked, { headers }).withResponse();
  assert.deepEqual([data.choices[0].message.content, request_id], [answer, "seen-by-the-client"]);
  assert.equal(response.headers.get("x-duogate-ignored"), "temperature");
  assert.equal(response.headers.get("openai-version"), "2020-10-01");
  const raw = await strict.chat.completions.create({ ...asked, stream: true }).asResponse();
  assert.match(raw.headers.get("content-type"), /^text\/event-stream/);
  assert.ok((await raw.text()).endsWith("data: [DONE]\n\n"));
});

await check("the stream helper tells each piece and the whole", async () => {
  const pieces = [];
  const stream = strict.chat.completions.stream({ model, messages }).on("content", (piece) => pieces.push(piece));
  assert.equal(await stream.finalContent(), answer);
  assert.ok(pieces.length > 3);
  assert.equal(pieces.join(""), answer);
});

await check("404, 405 and 413 throw their classes, with code and request id", async () => {
  const large = { model, messages: [{ role: "user", content: "x".repeat(70_000) }] };
  const cases = [
    [OpenAI.NotFoundError, 404, "unknown_url", () => strict.get("/nonsense")],
    [OpenAI.APIError, 405, "method_not_supported", () => strict.get("/chat/completions")],
    [OpenAI.APIError, 413, "request_too_large", () => strict.chat.completions.create(large)],
  ];
  for (const [kind, status, code, call] of cases) {
    await assert.rejects(async () => call(), (error) => {
      assert.equal(error.constructor, kind);
      assert.deepEqual([error.status, error.code, error.type], [status, code, "invalid_request_error"]);
      assert.ok(error.requestID);
      return true;
    });
  }
});

await check("a dead upstream and an empty pool throw InternalServerError, and are not tried again", async () => {
  const dies = (api, status, code) =>
    assert.rejects(api.chat.completions.create({ model: "fault:502", messages }), (error) => {
      assert.ok(error instanceof OpenAI.InternalServerError);
      assert.deepEqual([error.status, error.code], [status, code]);
      return true;
    });
  // One try and one retry (MAX_RETRIES=1), within one request of the client.
  assert.equal(await answersAsked(() => dies(any, 502, "upstream_unavailable")), 2);
  assert.equal(await answersAsked(() => dies(client(empty), 503, "no_available_tokens")), 0);
});

await check("a timeout throws APIConnectionTimeoutError and closes what it left", async () => {
  const hasty = client(anyone, { timeout: 500, maxRetries: 0 });
  const asked = hasty.chat.completions.create({ model: "fault:stall-head", messages });
  await assert.rejects(asked, OpenAI.APIConnectionTimeoutError);
  await rest();
});

await check("leaving a stream closes the upstream's answer", async () => {
  const stream = await any.chat.completions.create({ model: "fault:stall", messages, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
  await rest();
});

await check("where nobody listens it throws APIConnectionError", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const base_url = `http://127.0.0.1:${server.address().port}/v1`;
  server.close();
  await once(server, "close");
  const api = client({ base_url, key: "any" }, { maxRetries: 0 });
  await assert.rejects(api.models.list(), (error) => {
    assert.equal(error.constructor, OpenAI.APIConnectionError);
    return true;
  });
});

await checkCalls();
