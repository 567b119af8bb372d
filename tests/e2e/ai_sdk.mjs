// Vercel's AI SDK, by each of its three ways to the gateway.
import assert from "node:assert/strict";
import { agent, any, empty, model, question, answer, strict, wrongKey } from "./checks.mjs";
import { answersAsked, check, checkCalls, load, rest } from "./checks.mjs";

const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { createOpenAI } = await load("@ai-sdk/openai");
const { APICallError, Output, RetryError, generateText, jsonSchema, streamText, tool } = await load("ai");
// Omitted fields are reported as warnings on the console.
globalThis.AI_SDK_LOG_WARNINGS = false;

const settings = ({ base_url, key }) => ({ baseURL: base_url, apiKey: key });
/** `openai(id)` is the responses API, `openai.chat(id)` chat completions. */
const WAYS = {
  "openai-compatible": (gateway, id) =>
    createOpenAICompatible({ name: "duogate", includeUsage: true, ...settings(gateway) })(id),
  "openai.chat()": (gateway, id) => createOpenAI(settings(gateway)).chat(id),
  "openai()": (gateway, id) => createOpenAI(settings(gateway))(id),
};
const turns = [
  { role: "user", content: "Hello." },
  { role: "assistant", content: "Hi." },
  { role: "user", content: [{ type: "text", text: "And now " }, { type: "text", text: "this." }] },
];
const turnsAnswer = "You said: System: Be brief.\n\nUser: Hello.\n\nAssistant: Hi.\n\nUser: And now this.";
const counting = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen";
const schema = jsonSchema({ type: "object", properties: { sum: { type: "number" } }, required: ["sum"] });
const add = tool({ description: "Adds.", inputSchema: schema, execute: async () => 4 });

function someUsage({ inputTokens, outputTokens, totalTokens }) {
  assert.ok(inputTokens > 0 && outputTokens > 0, `usage ${inputTokens} and ${outputTokens}`);
  assert.equal(totalTokens, inputTokens + outputTokens);
}

/** All parts of a stream; an error is one of them. */
async function parts(request) {
  const found = [];
  for await (const part of streamText({ onError() {}, ...request }).fullStream) found.push(part);
  return found;
}

const textOf = (found) => found.map((part) => (part.type === "text-delta" ? part.text : "")).join("");

/** Checks that a request is refused with a status and code, and readably. */
async function refused(request, status, code) {
  await assert.rejects(generateText({ prompt: question, maxRetries: 0, ...request }), (error) => {
    assert.ok(APICallError.isInstance(error), `${error}`);
    assert.deepEqual([error.statusCode, error.data.error.code], [status, code]);
    assert.equal(error.message, error.data.error.message);
    return true;
  });
}

for (const [way, at] of Object.entries(WAYS)) {
  const responses = way === "openai()";

  await check(`${way}: generateText gives the whole answer, its end and its usage`, async () => {
    const { text, finishReason, usage } = await generateText({ model: at(strict, model), prompt: question });
    assert.deepEqual([text, finishReason], [answer, "stop"]);
    someUsage(usage);
  });

  await check(`${way}: streamText gives the same answer in pieces, with its end and its usage`, async () => {
    const found = await parts({ model: at(strict, model), prompt: question });
    assert.ok(found.filter(({ type }) => type === "text-delta").length > 3);
    assert.equal(textOf(found), answer);
    const { type, finishReason, totalUsage } = found.at(-1);
    assert.deepEqual([type, finishReason], ["finish", "stop"]);
    someUsage(totalUsage);
  });

  await check(`${way}: system messages and earlier turns reach the model, a developer's too`, async () => {
    for (const id of [model, "o4-Default"]) {
      const asked = { model: at(strict, id), system: "Be brief.", messages: turns };
      assert.equal((await generateText(asked)).text, turnsAnswer);
      assert.equal(textOf(await parts(asked)), turnsAnswer);
    }
  });

  await check(`${way}: maxOutputTokens${responses ? " is" : " and stopSequences are"} obeyed`, async () => {
    const asked = { model: at(strict, model), prompt: counting };
    const cut = await generateText({ ...asked, maxOutputTokens: 16 });
    assert.deepEqual([cut.finishReason, cut.usage.outputTokens], ["length", 16]);
    assert.ok(`You said: ${counting}`.startsWith(cut.text));
    if (responses) return;
    const stopped = await generateText({ ...asked, stopSequences: ["three"] });
    assert.deepEqual([stopped.text, stopped.finishReason], ["You said: one two ", "stop"]);
  });

  await check(`${way}: tools are refused by name, or answered as text with UNSUPPORTED_PARAMS=ignore`, async () => {
    await refused({ model: at(strict, model), tools: { add } }, 400, "unsupported_parameter");
    const told = await generateText({ model: at(agent, "any"), prompt: question, tools: { add } });
    assert.deepEqual([told.text, told.finishReason, told.toolCalls], [answer, "stop", []]);
  });

  await check(`${way}: where an output's schema is ignored, text is not taken for it`, async () => {
    const output = Output.object({ schema });
    await refused({ model: at(strict, model), output }, 400, "unsupported_parameter");
    const asked = generateText({ model: at(agent, "any"), prompt: question, output });
    await assert.rejects(asked, { name: "AI_NoObjectGeneratedError" });
  });

  await check(`${way}: a wrong key and an unknown model are APICallErrors that are not tried again`, async () => {
    const cases = [
      [{ ...strict, key: wrongKey }, model, 401, "invalid_api_key"],
      [strict, "gpt-none", 404, "model_not_found"],
    ];
    for (const [gateway, id, status, code] of cases) {
      await refused({ model: at(gateway, id), maxRetries: 2 }, status, code);
      const found = await parts({ model: at(gateway, id), prompt: question });
      const { error } = found.find(({ type }) => type === "error");
      assert.deepEqual([error.statusCode, error.data.error.code, textOf(found)], [status, code, ""]);
    }
  });

  await check(`${way}: a dead upstream is a 502, an empty pool a 503, each asked once with maxRetries: 0`, async () => {
    const dead = () => refused({ model: at(any, "fault:502") }, 502, "upstream_unavailable");
    assert.equal(await answersAsked(dead), 2);
    assert.equal(await answersAsked(() => refused({ model: at(empty, "any") }, 503, "no_available_tokens")), 0);
  });

  await check(`${way}: a stream that the upstream cuts has an error part and ends in an error`, async () => {
    const found = await parts({ model: at(any, "fault:cut"), prompt: question });
    assert.equal(textOf(found), "You said: ");
    const { error } = found.find(({ type }) => type === "error");
    assert.match(error.message, /broke off in the middle/);
    const { type, finishReason } = found.at(-1);
    assert.deepEqual([type, finishReason], ["finish", "error"]);
    const { finishReason: told } = streamText({ model: at(any, "fault:cut"), prompt: question, onError() {} });
    assert.equal(await told, "error");
    await refused({ model: at(any, "fault:cut") }, 502, "upstream_truncated");
  });

  await check(`${way}: aborting closes the upstream's answer`, async () => {
    const leaving = new AbortController();
    const asked = { model: at(any, "fault:stall"), prompt: question, abortSignal: leaving.signal, onError() {} };
    for await (const piece of streamText(asked).textStream) {
      assert.ok(answer.startsWith(piece));
      break;
    }
    leaving.abort();
    await rest();
  });
}

await check("it asks again whatever the gateway says, unless it is told not to", async () => {
  const asked = { model: WAYS["openai.chat()"](empty, "any"), prompt: question, maxRetries: 1 };
  await assert.rejects(generateText(asked), (error) => {
    assert.ok(RetryError.isInstance(error), `${error}`);
    assert.equal(error.errors.length, 2);
    return true;
  });
});

await checkCalls();
