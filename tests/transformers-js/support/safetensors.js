import fs from "node:fs";

const arrays = { F32: Float32Array, I64: BigInt64Array, I32: Int32Array, U8: Uint8Array };

// Every tensor of a safetensors file: name -> { dims, data }.
export function readSafetensors(file) {
  const bytes = fs.readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString());
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    if (!(dtype in arrays)) continue; // masks of bool, which no test of these reads
    const copy = Uint8Array.from(bytes.subarray(8 + headerLength + begin, 8 + headerLength + end)); // aligned, unlike the file
    tensors[name] = { dims: shape, data: new arrays[dtype](copy.buffer) };
  }
  return tensors;
}
