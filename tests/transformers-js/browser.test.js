// docs/examples/browser in headless Chromium, with everything from this machine.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { start } from "./support/docs.js";
import { exportPackage } from "./support/export_package.js";
import { copyExample, data, installExample, temporaryFolder } from "./support/folders.js";
import { recorded, tokenIds } from "./support/recorded.js";

const patience = 240_000; // milliseconds, for a machine that does other things beside

// Runs what `begin` starts, a server in the end, while `use` has the address that it prints.
async function withServer(begin, use) {
  const server = begin();
  try {
    let errors = "";
    server.stderr.on("data", (text) => (errors += text));
    for await (const line of createInterface(server.stdout)) {
      if (line.startsWith("http://")) return await use(line);
    }
    assert.fail(`no server was started: ${errors}`);
  } finally {
    if (server.exitCode === null) process.kill(-server.pid);
  }
}

describe("a page with --layout transformers-js", () => {
  let browser;
  before(async () => {
    browser = await chromium.launchPersistentContext(temporaryFolder(), {
      executablePath: process.env.Q3VL_CHROMIUM,
      headless: true,
      args: [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
      ],
    });
    browser.setDefaultTimeout(patience);
  });
  after(() => browser.close());

  // A page of the server, and the addresses elsewhere that it asks for.
  async function open(address) {
    const page = await browser.newPage();
    const elsewhere = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url())) elsewhere.push(request.url());
    });
    return { page, elsewhere };
  }

  test("browser.md from download to the answer that Hugging Face gives", async () => {
    await withServer(() => start("browser.md", copyExample("browser"), { PORT: "0" }), async (address) => {
      const { page, elsewhere } = await open(address);
      await page.goto(address);
      const status = page.locator("#status");
      await status.filter({ hasNotText: "Loading" }).waitFor();
      assert.equal(await status.textContent(), "Ready");
      const [question] = JSON.parse(fs.readFileSync(path.join(data, "shapes/questions.json"))).questions;
      await page.setInputFiles("[name=picture]", path.join(data, "shapes", question.images[0]));
      await page.fill("[name=question]", question.question);
      await page.click("button");
      await status.filter({ hasNotText: "Answering" }).waitFor();
      assert.equal(await status.textContent(), "Ready");
      assert.equal(await page.locator("output").textContent(), question.hf_fp32_answer);
      assert.deepEqual(elsewhere, []);
    });
  });

  test("a picture and text: sixteen tokens (t5)", async () => {
    const { input_ids, attention_mask, generated } = recorded("t5");
    const { pixel_values, grid_thw } = recorded("v1");
    const plain = ({ dims, data }) => ({ dims, data: Array.from(data, Number) });
    const folder = exportPackage("tiny-a", ["--recipe", "fp32", "--layout", "transformers-js"]);
    const begin = () =>
      spawn(process.execPath, [path.join(installExample("browser"), "serve.mjs"), folder], {
        env: { ...process.env, PORT: "0" },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true, // a process group, as start() makes one
      });
    await withServer(begin, async (address) => {
      const { page, elsewhere } = await open(address);
      await page.goto(`${address}/package/config.json`); // a document that loads nothing of its own
      const found = await page.evaluate(generateInPage, {
        input_ids: plain(input_ids),
        attention_mask: plain(attention_mask),
        pixel_values: plain(pixel_values),
        image_grid_thw: plain(grid_thw),
      });
      assert.deepEqual(found.slice(input_ids.dims[1]), tokenIds(generated));
      assert.deepEqual(elsewhere, []);
    });
  });
});

// Runs in the page: all tokens of the sequence.
async function generateInPage(inputs) {
  const { Qwen3VLForConditionalGeneration, Tensor, env } = await import(
    "/node_modules/@huggingface/transformers/dist/transformers.min.js"
  );
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/";
  const runtime = `${location.origin}/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded`;
  env.backends.onnx.wasm.wasmPaths = { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` };
  const model = await Qwen3VLForConditionalGeneration.from_pretrained("package");
  const tensor = (name) =>
    name === "pixel_values"
      ? new Tensor("float32", Float32Array.from(inputs[name].data), inputs[name].dims)
      : new Tensor("int64", BigInt64Array.from(inputs[name].data, BigInt), inputs[name].dims);
  const tensors = Object.fromEntries(Object.keys(inputs).map((name) => [name, tensor(name)]));
  const sequence = await model.generate({ ...tensors, max_new_tokens: 16, do_sample: false });
  return Array.from(sequence.data, Number);
}
