import path from "node:path";
import { LogitsProcessor, LogitsProcessorList, Tensor } from "@huggingface/transformers";
import { data } from "./folders.js";
import { readSafetensors } from "./safetensors.js";

// What Hugging Face recorded of tests/data/tiny-a.
export function recorded(name) {
  return readSafetensors(path.join(data, "tiny-a/expected", `${name}.safetensors`));
}

export function tensor(type, { data, dims }) {
  return new Tensor(type, data, dims);
}

export function tokenIds(sequence) {
  return Array.from(sequence.data, Number);
}

export function maxDifference(found, expected) {
  if (found.length !== expected.length) throw new Error(`${found.length} values, expected ${expected.length}`);
  let largest = 0;
  for (let i = 0; i < found.length; ++i) {
    const difference = Math.abs(found[i] - expected[i]);
    if (!(difference <= largest)) largest = difference; // NaN too
  }
  return largest;
}

// Keeps the logits by which each token is chosen, and changes nothing.
class KeepLogits extends LogitsProcessor {
  steps = [];
  _call(_inputIds, logits) {
    this.steps.push(Float32Array.from(logits.data));
    return logits;
  }
}

// Greedy tokens after the prompt, and the logits of each step.
export async function generate(model, inputs, max_new_tokens) {
  const kept = new KeepLogits();
  const processors = new LogitsProcessorList();
  processors.push(kept);
  const sequence = await model.generate({ ...inputs, max_new_tokens, do_sample: false, logits_processor: processors });
  return { tokens: tokenIds(sequence).slice(inputs.input_ids.dims[1]), logits: kept.steps };
}
