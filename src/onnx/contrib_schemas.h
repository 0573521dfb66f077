// Operator schemas that libonnx does not have: ONNX Runtime's operators that the graphs use, with the type and shape
// inference that lets a strict check find a wrong operand before ONNX Runtime does.
#pragma once

namespace q3vl {

/// Adds the schemas of domain com.microsoft (version 1), and of SimplifiedLayerNormalization, which ONNX Runtime keeps
/// in the domain of ONNX itself (version 1), to libonnx's registry: once, however often and from however many threads
/// it is called. Inputs, attributes and rules are those of ONNX Runtime's docs/ContribOperators.md and of its kernels'
/// own input checks, for the forms that an exporter emits: q, k and v apart, uint8 for quantised data.
/// Throws Error(internal) when the registry does not take one.
void register_contrib_schemas();

}  // namespace q3vl
