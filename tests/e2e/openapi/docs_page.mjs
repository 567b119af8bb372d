// The docs page in a browser that can reach only this machine: it lists all operations, makes no request to another
// machine, and can run a chat.
//
// Environment: URL, KEY, MODEL, NODE_PACKAGES, CHROMIUM, SCREENSHOTS (a directory). Prints one line per check.

import { createRequire } from "node:module";
import path from "node:path";

const { URL: url, KEY, MODEL, NODE_PACKAGES, CHROMIUM, SCREENSHOTS } = process.env;
const { chromium } = createRequire(path.join(NODE_PACKAGES, "index.js"))("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Requests to other machines go to a proxy that does not exist.
  "--proxy-server=http://127.0.0.1:9",
];

let failed = false;

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = true;
    console.log(`FAIL ${name}\n${error.message}`);
  }
}

function equal(is, should, what) {
  const [left, right] = [is, should].map((value) => JSON.stringify(value));
  if (left !== right) throw new Error(`${what}: ${left}, not ${right}`);
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
  page.setDefaultTimeout(30_000);
  const asked = [];
  const troubles = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("requestfailed", (request) => troubles.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && troubles.push(message.text()));
  const picture = (name) => page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`) });

  const document = await (await fetch(`${url}/openapi.json`)).json();
  const operations = Object.values(document.paths).flatMap((item) => Object.values(item).map((one) => one.operationId));

  await check("docs: the page shows every operation of the document", async () => {
    await page.goto(`${url}/docs`);
    await page.waitForSelector(".opblock");
    const shown = await page.$$eval(".opblock", (blocks) => blocks.map((block) => block.id.replace(/^operations-[^-]*-/, "")));
    equal(shown.sort(), operations.sort(), "operations");
    equal(await page.title(), `${document.info.title} ${document.info.version}`, "title");
    await page.waitForSelector(".info .title");
    await picture("docs");
  });

  await check("docs: a key is taken, and a chat can be tried out", async () => {
    await page.click(".auth-wrapper .authorize");
    const bearer = page.locator(".auth-container", { hasText: "key_bearer" }).first();
    await bearer.locator("input").fill(KEY);
    await bearer.locator("button.authorize").click();
    await page.click(".modal-ux .btn-done");
    const chat = page.locator("#operations-Chat-createChatCompletion");
    await chat.locator(".opblock-summary-control").click();
    const body = chat.locator(".body-param__text");
    await body.waitFor();
    const example = JSON.parse(await body.inputValue());
    await body.fill(JSON.stringify({ ...example, model: MODEL }));
    await chat.locator("button.execute").click();
    const answer = chat.locator(".live-responses-table .response");
    await answer.waitFor();
    equal((await answer.locator(".response-col_status").innerText()).trim().slice(0, 3), "200", "status");
    const text = await answer.locator(".response-col_description").innerText();
    if (!text.includes("You said: Hello!")) throw new Error(`the answer: ${text.slice(0, 500)}`);
    await chat.scrollIntoViewIfNeeded();
    await picture("docs-tried");
  });

  await check("docs: nothing failed, and nothing was asked of any other place", async () => {
    equal(troubles, [], "troubles");
    const elsewhere = asked.filter((place) => !place.startsWith(`${url}/`) && !place.startsWith("data:"));
    equal(elsewhere, [], "asked elsewhere");
    if (asked.length < 6) throw new Error(`only ${asked.length} requests were seen`);
  });

  await check("docs: the browser reaches no other place at all", async () => {
    const other = await browser.newPage();
    const gone = await other.goto("http://192.0.2.1/", { timeout: 10_000 }).then(() => "reached", () => "not reached");
    equal(gone, "not reached", "an address of the documentation's");
  });
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
