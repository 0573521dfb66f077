#include "prompt/mrope_positions.h"

#include <fmt/format.h>

#include <algorithm>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// One picture's size in tokens, and what to call it in a message.
struct Picture {
  std::int64_t rows, columns;
  std::string name;
};

/// The pictures of one kind in the order of the prompt: a clip gives one a frame.
std::vector<Picture> pictures_of(std::span<const Grid> grids, std::string_view kind, std::int64_t merge) {
  std::vector<Picture> pictures;
  for (std::size_t i = 0; i < grids.size(); ++i) {
    const Grid& grid = grids[i];
    if (grid.t < 1 || grid.h < 1 || grid.w < 1 || grid.h % merge != 0 || grid.w % merge != 0)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{} {} has the grid {}×{}×{}, expected at least one frame, and rows and columns that are "
                              "multiples of {}",
                              kind, i, grid.t, grid.h, grid.w, merge));
    for (std::int64_t frame = 0; frame < grid.t; ++frame)
      pictures.push_back(
          {grid.h / merge, grid.w / merge,
           grid.t == 1 ? fmt::format("{} {}", kind, i) : fmt::format("{} {}, frame {}", kind, i, frame)});
  }
  return pictures;
}

/// The number of tokens from `begin` on that are `id`.
std::int64_t run_length(std::span<const std::int64_t> input_ids, std::size_t begin, std::int64_t id) {
  const auto rest = input_ids.subspan(begin);
  return std::ranges::find_if(rest, [id](std::int64_t other) { return other != id; }) - rest.begin();
}

}  // namespace

MropePositions mrope_positions(const PromptTokens& tokens, std::span<const std::int64_t> input_ids,
                               std::span<const Grid> image_grids, std::span<const Grid> video_grids) {
  const std::vector<Picture> images = pictures_of(image_grids, "image", tokens.spatial_merge_size);
  const std::vector<Picture> frames = pictures_of(video_grids, "video", tokens.spatial_merge_size);
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
    const std::vector<Picture>& pictures = is_image ? images : frames;
    std::size_t& index = is_image ? next_image : next_frame;
    if (at == 0 || input_ids[at - 1] != tokens.vision_start_token_id)
      throw Error(
          ErrorKind::bad_input,
          fmt::format("the prompt's token {} is {} placeholder, but the token before it is not {}, which opens a "
                      "picture",
                      at, is_image ? "an image" : "a video", tokens.vision_start_token_id));
    if (index == pictures.size())
      throw Error(ErrorKind::bad_input,
                  fmt::format("the prompt's token {} begins {} {}, but the grids given have only {}", at,
                              is_image ? "image" : "video frame", index, pictures.size()));
    const Picture& picture = pictures[index++];
    const std::int64_t found = run_length(input_ids, at, id);
    if (found != picture.rows * picture.columns)
      throw Error(
          ErrorKind::bad_input,
          fmt::format("{} takes {} tokens ({} rows of {}), but the prompt has {} placeholders for it at token {}",
                      picture.name, picture.rows * picture.columns, picture.rows, picture.columns, found, at));
    for (std::int64_t row = 0; row < picture.rows; ++row)
      for (std::int64_t column = 0; column < picture.columns; ++column) {
        time.push_back(next);
        height.push_back(next + row);
        width.push_back(next + column);
      }
    next += std::max(picture.rows, picture.columns);
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
