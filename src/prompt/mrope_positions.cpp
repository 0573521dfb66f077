#include "prompt/mrope_positions.h"

#include <fmt/format.h>

#include <algorithm>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// One picture's size in tokens, and what to call it in a message.
struct Span {
  std::int64_t rows, columns;
  std::string name;
};

/// The pictures of one kind in the order of the prompt: a clip gives one a frame.
std::vector<Span> spans_of(std::span<const Grid> grids, std::string_view kind, std::int64_t merge) {
  std::vector<Span> spans;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const Grid& grid = grids[i];
    if (grid.t < 1 || grid.h < 1 || grid.w < 1 || grid.h % merge != 0 || grid.w % merge != 0)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{} {} has the grid {}×{}×{}, expected at least one frame, and rows and columns that are "
                              "multiples of {}",
                              kind, i, grid.t, grid.h, grid.w, merge));
    for (std::int64_t frame = 0; frame < grid.t; ++frame)
      spans.push_back({grid.h / merge, grid.w / merge,
                       grid.t == 1 ? fmt::format("{} {}", kind, i) : fmt::format("{} {}, frame {}", kind, i, frame)});
  }
  return spans;
}

/// The number of tokens from `begin` on that are `id`.
std::int64_t run_length(std::span<const std::int64_t> input_ids, std::size_t begin, std::int64_t id) {
  const auto rest = input_ids.subspan(begin);
  return std::ranges::find_if(rest, [id](std::int64_t other) { return other != id; }) - rest.begin();
}

}  // namespace

MropePositions mrope_positions(const PromptTokens& tokens, std::span<const std::int64_t> input_ids,
                               std::span<const Grid> image_grids, std::span<const Grid> video_grids) {
  const std::vector<Span> images = spans_of(image_grids, "image", tokens.spatial_merge_size);
  const std::vector<Span> frames = spans_of(video_grids, "video", tokens.spatial_merge_size);
  std::size_t next_image = 0;
  std::size_t next_frame = 0;

  std::vector<std::int64_t> time, height, width;
  std::int64_t next = 0;  // largest position so far + 1
  while (time.size() < input_ids.size()) {
    const std::size_t at = time.size();
    const std::int64_t id = input_ids[at];
    const bool is_image = id == tokens.image_token_id;
    if (!is_image && id != tokens.video_token_id) {
      for (auto* axis : {&time, &height, &width}) axis->push_back(next);
      ++next;
      continue;
    }
    const std::vector<Span>& spans = is_image ? images : frames;
    std::size_t& index = is_image ? next_image : next_frame;
    if (index == spans.size())
      throw Error(ErrorKind::bad_input,
                  fmt::format("the prompt's token {} begins {} {}, but the grids given have only {}", at,
                              is_image ? "image" : "video frame", index, spans.size()));
    const Span& span = spans[index++];
    const std::int64_t found = run_length(input_ids, at, id);
    if (found != span.rows * span.columns)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{} takes {} tokens ({} rows of {}), but the prompt has {} placeholders for it at token {}",
                              span.name, span.rows * span.columns, span.rows, span.columns, found, at));
    for (std::int64_t row = 0; row < span.rows; ++row)
      for (std::int64_t column = 0; column < span.columns; ++column) {
        time.push_back(next);
        height.push_back(next + row);
        width.push_back(next + column);
      }
    next += std::max(span.rows, span.columns);
  }
  if (next_image != images.size() || next_frame != frames.size())
    throw Error(ErrorKind::bad_input,
                fmt::format("{} has no placeholders in the prompt",
                            next_image != images.size() ? images[next_image].name : frames[next_frame].name));

  MropePositions positions{.ids = std::move(time), .delta = next - static_cast<std::int64_t>(input_ids.size())};
  positions.ids.insert(positions.ids.end(), height.begin(), height.end());
  positions.ids.insert(positions.ids.end(), width.begin(), width.end());
  return positions;
}

}  // namespace q3vl
