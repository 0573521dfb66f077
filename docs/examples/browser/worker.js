import {
  AutoModelForImageTextToText, AutoProcessor, RawImage, TextStreamer, env,
} from "./node_modules/@huggingface/transformers/dist/transformers.min.js";

// Everything comes from the server of this page: the package as /package/, ONNX Runtime's WebAssembly from node_modules.
env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/";
// The plain WebAssembly build of ONNX Runtime, half as large as the one for WebGPU that Transformers.js takes of itself.
const runtime = new URL("./node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded", import.meta.url).href;
env.backends.onnx.wasm.wasmPaths = { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` };

async function load() {
  const progress_callback = ({ status, progress }) => {
    if (status === "progress_total") postMessage({ kind: "loading", percent: progress });
  };
  const processor = await AutoProcessor.from_pretrained("package");
  const model = await AutoModelForImageTextToText.from_pretrained("package", { progress_callback });
  return { processor, model };
}

async function answer({ processor, model }, { picture, question }) {
  const messages = [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }];
  const prompt = processor.apply_chat_template(messages, { add_generation_prompt: true });
  const inputs = await processor(prompt, await RawImage.fromBlob(picture));
  await model.generate({
    ...inputs,
    max_new_tokens: 256,
    do_sample: false,
    streamer: new TextStreamer(processor.tokenizer, {
      skip_prompt: true,
      skip_special_tokens: true,
      callback_function: (text) => postMessage({ kind: "text", text }),
    }),
  });
}

const report = (error) => postMessage({ kind: "error", message: String(error) });
const loaded = load();
loaded.then(() => postMessage({ kind: "ready" }), report);
onmessage = ({ data }) => {
  loaded.then((parts) => answer(parts, data)).then(() => postMessage({ kind: "ready" }), report);
};
