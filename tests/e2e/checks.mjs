// Shared by the JavaScript checks: the servers, as passed from Python, and the `ok` and `FAIL` lines.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { NODE_PACKAGES, WORLD, NAME, MODELS, QUESTION } = process.env;

/** The gateways by name, each with `base_url` and `key`, the simulator's origin, and a key that is wrong. */
const told = JSON.parse(WORLD);
export const { strict, any, agent, empty } = told.gateways;
export const wrongKey = told.wrong_key;
export const models = JSON.parse(MODELS);
export const model = models[0];
export const question = QUESTION;
export const answer = `You said: ${QUESTION}`;
export const name = NAME;

const strayed = [];
const call = globalThis.fetch;
// All packages here use `fetch`; block requests to any other machine.
globalThis.fetch = async (where, init) => {
  const { hostname } = new URL(where instanceof Request ? where.url : where);
  if (hostname === "127.0.0.1") return call(where, init);
  strayed.push(hostname);
  throw new TypeError(`${hostname} is not to be called from here`);
};

/** Loads a package; they live in a cache, where an `import` from here would not look. */
export async function load(wanted) {
  return import(pathToFileURL(createRequire(`${NODE_PACKAGES}/`).resolve(wanted)));
}

export async function check(what, body) {
  try {
    await body();
    console.log(`ok ${name}: ${what}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${name}: ${what}`);
    console.log(String(error?.stack ?? error));
  }
}

/** To be told last. */
export async function checkCalls() {
  await check("nothing but this machine is called", () => assert.deepEqual(strayed, []));
}

async function upstream() {
  return (await fetch(`${told.sim}/sim/state`)).json();
}

/** How many answers a piece of work asks of the upstream. */
export async function answersAsked(work) {
  const asked = async () => (await upstream()).counts.calls.answer ?? 0;
  const before = await asked();
  await work();
  return (await asked()) - before;
}

/** Waits until no answer is open upstream, or says that some still are. */
export async function rest(milliseconds = 3000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const { open } = await upstream();
    if (open === 0) return;
    assert.ok(Date.now() < end, `${open} answers are open upstream after ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
