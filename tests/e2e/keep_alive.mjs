// Persistent connections: a request rejected before its body is read must not affect another one.
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { answer, check, checkCalls, load, model, question, strict, wrongKey } from "./checks.mjs";

const TURNS = 40;
const LARGE = "x".repeat(90_000);
const messages = [{ role: "user", content: question }];
const large = [{ role: "user", content: LARGE }];

/** Posts by Node's own agent, as axios does, and says on which connection. */
function post(agent, path, key, body) {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const headers = {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    };
    const sent = request(`${strict.base_url}${path}`, { agent, method: "POST", headers }, (response) => {
      const { localPort } = response.socket;
      let heard = "";
      response.setEncoding("utf8");
      response.on("data", (piece) => (heard += piece));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, text: heard, port: localPort }));
    });
    sent.on("error", reject);
    sent.end(text);
  });
}

for (const [what, path, refused] of [
  ["a wrong key", "/chat/completions", 401],
  ["an unknown path", "/no/such/path", 404],
]) {
  await check(`${what} never costs the next request of its connection`, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set();
    for (let turn = 0; turn < TURNS; turn += 1) {
      const key = refused === 401 ? wrongKey : strict.key;
      const wrong = await post(agent, path, key, { model, messages: large });
      assert.equal(wrong.status, refused);
      const good = await post(agent, "/chat/completions", strict.key, { model, messages });
      assert.equal(good.status, 200);
      assert.equal(JSON.parse(good.text).choices[0].message.content, answer);
      ports.add(good.port);
    }
    assert.equal(ports.size, 1, "one connection served them all");
    agent.destroy();
  });
}

await check("fetch loses nothing either", async () => {
  const chat = (key, said) =>
    fetch(`${strict.base_url}/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model, messages: said }),
    });
  for (let turn = 0; turn < TURNS; turn += 1) {
    const wrong = await chat(wrongKey, large);
    assert.equal(wrong.status, 401);
    await wrong.text();
    const good = await chat(strict.key, messages);
    assert.equal((await good.json()).choices[0].message.content, answer);
  }
});

await check("OpenAI's package with an agent of its own loses nothing either", async () => {
  const { default: OpenAI } = await load("openai-4");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const client = (apiKey) => new OpenAI({ baseURL: strict.base_url, apiKey, maxRetries: 0, httpAgent: agent });
  const [good, wrong] = [client(strict.key), client(wrongKey)];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const refused = wrong.chat.completions.create({ model, messages: large });
    await assert.rejects(refused, (error) => error.status === 401);
    const completion = await good.chat.completions.create({ model, messages });
    assert.equal(completion.choices[0].message.content, answer);
  }
  agent.destroy();
});

await checkCalls();
