// What the library and the program that renders chat templates for it, qwen3vl-export-chat, say to each other, and the
// limits of a rendering. docs/TOKENIZER.md has the limits too.
//
// The request is one value in CBOR, whose strings may hold any bytes: {"template": "…", "renderings": [{…}, …]}, the
// variables of each rendering. For each rendering there is one answer: an Answer, the length of a text in 8 bytes,
// lowest first, and the text. The answers end early when the program has to.
#pragma once

#include <cstddef>
#include <cstdint>

namespace q3vl {

enum class Answer : char {
  text = 't',        ///< what the template makes
  unreadable = 'u',  ///< why it is no template; the last answer
  failed = 'f',      ///< why it makes no text
};

inline constexpr std::size_t kMaxTemplateBytes = 64U << 10;

// What reading a template, or one rendering, may take. A step is a basic block of the renderer's code, or 16 bytes that
// it copies, compares or searches. Nesting is counted in bytes of the stack.
inline constexpr std::uint64_t kMaxRenderSteps = 100'000'000;
inline constexpr std::size_t kMaxRenderMemory = 64U << 20;
inline constexpr std::size_t kMaxRenderStack = 32U << 20;
inline constexpr std::size_t kMaxRenderedBytes = 8U << 20;

// The last resort, for what is not counted.
inline constexpr int kMaxRenderCpuSeconds = 10;
inline constexpr int kMaxRenderWallSeconds = 60;

}  // namespace q3vl
