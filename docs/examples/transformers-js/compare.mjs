// node compare.mjs PACKAGE QUESTION PICTURE...: a question about several pictures, of any sizes.
import path from "node:path";
import { AutoModelForImageTextToText, AutoProcessor, RawImage, TextStreamer } from "@huggingface/transformers";
import { prepareInputs } from "./prepare_inputs.mjs";

const [folder, question, ...pictures] = process.argv.slice(2);
const location = path.resolve(folder);
const processor = await AutoProcessor.from_pretrained(location);
const model = await AutoModelForImageTextToText.from_pretrained(location);

const images = await Promise.all(pictures.map((picture) => RawImage.read(picture)));
const content = [...images.map(() => ({ type: "image" })), { type: "text", text: question }];
const prompt = processor.apply_chat_template([{ role: "user", content }], { add_generation_prompt: true });
await model.generate({
  ...(await prepareInputs(processor, prompt, images)),
  max_new_tokens: 256,
  do_sample: false,
  streamer: new TextStreamer(processor.tokenizer, { skip_prompt: true, skip_special_tokens: true }),
});
await model.dispose();
