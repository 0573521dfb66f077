// Packages of the small random checkpoint, through the public API of Transformers.js, against what Hugging Face computes.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import {
  AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, Qwen3VLForConditionalGeneration, RawImage,
} from "@huggingface/transformers";
import { exportPackage } from "./support/export_package.js";
import { data } from "./support/folders.js";
import { generate, maxDifference, recorded, tensor, tokenIds } from "./support/recorded.js";

const logitTolerance = 1e-4;
const pixelTolerance = 1e-6;

// The prompt of `name` as tensors, with the pictures of `pictures` where it has some.
function promptOf(name, pictures) {
  const { input_ids, attention_mask } = recorded(name);
  const inputs = { input_ids: tensor("int64", input_ids), attention_mask: tensor("int64", attention_mask) };
  if (!pictures) return inputs;
  const { pixel_values, grid_thw } = recorded(pictures);
  return { ...inputs, pixel_values: tensor("float32", pixel_values), image_grid_thw: tensor("int64", grid_thw) };
}

// The logits behind the last token of the prompt.
function lastLogits({ data, dims }) {
  const vocabulary = dims.at(-1);
  return data.slice((dims[1] - 1) * vocabulary, dims[1] * vocabulary);
}

function expectSixteenTokens(found, name) {
  const { generated, step_logits } = recorded(name);
  assert.deepEqual(found.tokens, tokenIds(generated));
  const vocabulary = step_logits.dims.at(-1);
  found.logits.forEach((logits, step) => {
    const expected = step_logits.data.subarray(step * vocabulary, (step + 1) * vocabulary);
    assert.ok(maxDifference(logits, expected) <= logitTolerance, `logits of token ${step}`);
  });
}

for (const layout of ["universal", "transformers-js"]) {
  describe(`--layout ${layout} --recipe fp32`, () => {
    let folder, model;
    before(async () => {
      folder = exportPackage("tiny-a", ["--recipe", "fp32", "--layout", layout]);
      model = await Qwen3VLForConditionalGeneration.from_pretrained(folder);
    });
    after(() => model.dispose());

    test("a picture and text: sixteen tokens and their logits (t5)", async () => {
      expectSixteenTokens(await generate(model, promptOf("t5", "v1"), 16), "t5");
    });

    test("text alone: sixteen tokens and their logits (t5b)", async () => {
      expectSixteenTokens(await generate(model, promptOf("t5b"), 16), "t5b");
    });

    test("two pictures of different sizes: logits (t3)", async () => {
      const expected = recorded("t3").logits;
      const { logits } = await generate(model, promptOf("t3", "v2"), 1);
      assert.ok(maxDifference(logits[0], lastLogits(expected)) <= logitTolerance);
    });

    test("a forward call without generate: logits (t2)", async () => {
      const { logits } = await model(promptOf("t2", "v1"));
      assert.ok(maxDifference(lastLogits(logits), lastLogits(recorded("t2").logits)) <= logitTolerance);
    });

    test("a picture file and a chat message through the whole processor (p4)", async () => {
      const expected = recorded("p4");
      const processor = await AutoProcessor.from_pretrained(folder);
      const messages = [{ role: "user", content: [{ type: "image" }, { type: "text", text: "What is in this picture?" }] }];
      const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
      const inputs = await processor(prompt, await RawImage.read(path.join(data, "tiny-a/expected/p4_256x256.png")));
      assert.deepEqual(tokenIds(inputs.input_ids), tokenIds(expected.input_ids));
      assert.deepEqual(tokenIds(inputs.image_grid_thw), tokenIds(expected.image_grid_thw));
      const pixels = Float32Array.from(expected.pixels_u8.data, (value) => (value / 255 - 0.5) / 0.5);
      assert.ok(maxDifference(inputs.pixel_values.data, pixels) <= pixelTolerance);
      const found = await generate(model, inputs, 16);
      assert.deepEqual(found.tokens, tokenIds(expected.generated));
      assert.ok(maxDifference(found.logits[0], expected.last_logits.data) <= logitTolerance);
    });

    test("the Auto class picks the model, and the language model loads without the visual tower (t5b)", async () => {
      const auto = await AutoModelForImageTextToText.from_pretrained(folder);
      assert.ok(auto instanceof Qwen3VLForConditionalGeneration);
      await auto.dispose();
      const language = await AutoModelForCausalLM.from_pretrained(folder);
      assert.deepEqual(Object.keys(language.sessions).sort(), ["decoder_model_merged", "embed_tokens"]);
      expectSixteenTokens(await generate(language, promptOf("t5b"), 16), "t5b");
      await language.dispose();
    });
  });
}
