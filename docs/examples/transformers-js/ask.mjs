// node ask.mjs PACKAGE PICTURE QUESTION: answers a question about a picture, word by word.
import path from "node:path";
import { AutoModelForImageTextToText, AutoProcessor, RawImage, TextStreamer } from "@huggingface/transformers";

const [folder, picture, question] = process.argv.slice(2);
const location = path.resolve(folder); // a name such as a/b would be looked up on the hub
const processor = await AutoProcessor.from_pretrained(location);
const model = await AutoModelForImageTextToText.from_pretrained(location);

const messages = [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }];
const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
const inputs = await processor(prompt, await RawImage.read(picture));
await model.generate({
  ...inputs,
  max_new_tokens: 256,
  do_sample: false,
  streamer: new TextStreamer(processor.tokenizer, { skip_prompt: true, skip_special_tokens: true }),
});
await model.dispose();
