// OpenAI's own Node package. Prints one `ok` or `FAIL` line a check; the settings come from the environment.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { NODE_PACKAGES, PACKAGE, STRICT_URL, STRICT_KEY, ANY_URL, ANY_KEY, WRONG_KEY, MODELS, QUESTION } = process.env;
// The packages live in a cache, where an `import` from here would not look.
const OpenAI = createRequire(`${NODE_PACKAGES}/`)(PACKAGE).default;

const models = JSON.parse(MODELS);
const model = models[0];
const messages = [{ role: "user", content: QUESTION }];
const answer = `You said: ${QUESTION}`;
const strict = new OpenAI({ baseURL: STRICT_URL, apiKey: STRICT_KEY, timeout: 60_000 });
const any = new OpenAI({ baseURL: ANY_URL, apiKey: ANY_KEY, timeout: 60_000 });
let failed = 0;

async function check(name, body) {
  try {
    await body();
    console.log(`ok ${PACKAGE}: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${PACKAGE}: ${name}`);
    console.log(String(error?.stack ?? error));
  }
}

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
  const api = new OpenAI({ baseURL: STRICT_URL, apiKey: WRONG_KEY });
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
  const asked = { model, prompt: QUESTION, max_tokens: 100 };
  const whole = await strict.completions.create(asked);
  assert.deepEqual([whole.choices[0].text, whole.choices[0].finish_reason], [answer, "stop"]);
  const chunks = [];
  await drain(await strict.completions.create({ ...asked, stream: true }), chunks);
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(""), answer);
});

await check("a response is whole, and can be gone on from, looked up and deleted", async () => {
  const first = await strict.responses.create({ model, input: QUESTION });
  assert.deepEqual([first.output_text, first.status], [answer, "completed"]);
  assert.ok(first.usage.total_tokens > 0);
  const second = await strict.responses.create({ model, input: "And now?", previous_response_id: first.id });
  assert.equal(second.output_text, `You said: User: ${QUESTION}\n\nAssistant: ${answer}\n\nUser: And now?`);
  assert.equal((await strict.responses.retrieve(first.id)).output_text, answer);
  await strict.responses.delete(first.id);
  await assert.rejects(strict.responses.retrieve(first.id), OpenAI.NotFoundError);
});

await check("the SDK's own accumulator builds the same response, reasoning or not", async () => {
  for (const name of ["ordinary", "dialect:reasoning"]) {
    const types = [];
    const stream = any.responses.stream({ model: name, input: QUESTION });
    for await (const event of stream) types.push(event.type);
    const whole = await stream.finalResponse();
    assert.equal(whole.output_text, answer);
    assert.deepEqual([types.at(0), types.at(-1)], ["response.created", "response.completed"]);
  }
});

await check("a cut response ends with response.failed", async () => {
  const events = [];
  await drain(await any.responses.create({ model: "fault:cut", input: QUESTION, stream: true }), events);
  const { type, response } = events.at(-1);
  assert.deepEqual([type, response.status, response.error.code], ["response.failed", "failed", "server_error"]);
});

await check("a response with tools throws BadRequestError that names them", async () => {
  const tools = [{ type: "function", name: "f", parameters: {}, strict: false }];
  await assert.rejects(strict.responses.create({ model, input: QUESTION, tools }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.code, error.param], ["unsupported_parameter", "tools"]);
    return true;
  });
});

process.exitCode = failed ? 1 : 0;
