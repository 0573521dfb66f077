import fs from "node:fs";
import path from "node:path";
import { AutoModelForImageTextToText, AutoProcessor, RawImage } from "@huggingface/transformers";
import { installExample } from "./folders.js";
import { tokenIds } from "./recorded.js";

const { prepareInputs } = await import(path.join(installExample("transformers-js"), "prepare_inputs.mjs"));

// Below this gap between the best and the second logit a different answer says little.
const clearMargin = 0.1;

// Asks a package the questions of a file about one or more pictures, greedily. Of each: its id, the tokens of the answer,
// whether they are the ones that Hugging Face gave in float32, and whether it was no close call there.
export async function askQuestions(folder, file) {
  const location = path.resolve(folder);
  const processor = await AutoProcessor.from_pretrained(location);
  const model = await AutoModelForImageTextToText.from_pretrained(location);
  const answers = [];
  for (const question of JSON.parse(fs.readFileSync(file)).questions) {
    const images = await Promise.all(question.images.map((image) => RawImage.read(path.join(path.dirname(file), image))));
    const inputs = await prepareInputs(processor, question.prompt, images);
    const sequence = await model.generate({ ...inputs, max_new_tokens: 64, do_sample: false });
    const tokens = tokenIds(sequence).slice(inputs.input_ids.dims[1]);
    answers.push({
      question,
      promptIsEqual: String(tokenIds(inputs.input_ids)) === String(question.input_ids),
      text: processor.decode(tokens, { skip_special_tokens: true }),
      isEqual: String(tokens) === String(question.hf_fp32_ids),
      isClear: question.hf_fp32_min_margin > clearMargin,
    });
  }
  await model.dispose();
  return answers;
}
