import { cat } from "@huggingface/transformers";

const imagePad = "<|image_pad|>";

// What processor(prompt, images) should give for several pictures: the processor of @huggingface/transformers 4.3.1 takes
// them for the frames of one clip, and fails when their sizes differ. So each picture goes through it alone, and the
// prompt gets one pad a token of each.
export async function prepareInputs(processor, prompt, images) {
  if (prompt.split(imagePad).length - 1 !== images.length) {
    throw new Error(`the prompt has not one ${imagePad} for each of the ${images.length} pictures`);
  }
  if (images.length === 0) return processor.tokenizer(prompt);
  const pictures = [];
  for (const image of images) pictures.push(await processor.image_processor(image));
  const patchesPerToken = processor.image_processor.config.merge_size ** 2;
  let next = 0;
  const padded = prompt.replaceAll(imagePad, () => imagePad.repeat(pictures[next++].pixel_values.dims[0] / patchesPerToken));
  return {
    ...processor.tokenizer(padded),
    pixel_values: cat(pictures.map((picture) => picture.pixel_values), 0),
    image_grid_thw: cat(pictures.map((picture) => picture.image_grid_thw), 0),
  };
}
