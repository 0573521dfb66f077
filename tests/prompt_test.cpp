// Positions and patches against what Hugging Face recorded and against plain loops.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "image/read_image.h"
#include "prompt/image_patches.h"
#include "prompt/mrope_positions.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace q3vl::prompt_test {
namespace {

using test::Recorded;
using test::recorded;
using Ids = std::vector<std::int64_t>;

constexpr PromptTokens kTokens{
    .image_token_id = 2012, .video_token_id = 2013, .vision_start_token_id = 2009, .spatial_merge_size = 2};

class RecordedPositions : public testing::TestWithParam<const char*> {};

TEST_P(RecordedPositions, AreEqual) {
  const Recorded expected = recorded(GetParam());
  const MropePositions found = mrope_positions(kTokens, expected.integers("input_ids"),
                                               expected.grids("image_grid_thw"), expected.grids("video_grid_thw"));
  EXPECT_EQ(found.ids, expected.integers("position_ids"));
  EXPECT_EQ(found.delta, expected.integers("rope_deltas").at(0));
}

INSTANTIATE_TEST_SUITE_P(OneRow, RecordedPositions, testing::Values("t1", "t2", "t3", "t4"));

class RecordedGeneration : public testing::TestWithParam<const char*> {};

TEST_P(RecordedGeneration, PrefillAndStepPositionsAreEqual) {
  const Recorded expected = recorded(GetParam());
  const Ids input_ids = expected.integers("input_ids");
  const MropePositions found = mrope_positions(kTokens, input_ids, expected.grids("image_grid_thw"), {});
  const Ids four_axes = expected.integers("prefill_position_ids");  // text positions before time, height, width
  EXPECT_EQ(found.ids, Ids(four_axes.begin() + static_cast<std::ptrdiff_t>(input_ids.size()), four_axes.end()));

  Ids steps(15);
  std::iota(steps.begin(), steps.end(), static_cast<std::int64_t>(input_ids.size()) + found.delta);
  Ids three_axes;
  for (int axis = 0; axis < 3; ++axis) three_axes.insert(three_axes.end(), steps.begin(), steps.end());
  EXPECT_EQ(three_axes, expected.integers("step_position_ids"));
}

INSTANTIATE_TEST_SUITE_P(Greedy, RecordedGeneration, testing::Values("t5", "t5b"));

TEST(MropePositions, RowsOfAPaddedBatchOneByOne) {
  const Recorded expected = recorded("t6r");
  const at::Tensor ids = expected["input_ids"];
  const at::Tensor lengths = expected["attention_mask"].sum(1);
  const at::Tensor positions = expected["position_ids"];
  const std::vector<Grid> grids = expected.grids("image_grid_thw");
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    const auto length = lengths[row].item<std::int64_t>();
    const auto* begin = ids.data_ptr<std::int64_t>() + row * ids.size(1);
    const MropePositions found = mrope_positions(kTokens, {begin, static_cast<std::size_t>(length)},
                                                 std::span(grids).subspan(static_cast<std::size_t>(row), 1), {});
    const at::Tensor wanted = positions.select(1, row).narrow(1, 0, length).contiguous();
    const auto* values = wanted.data_ptr<std::int64_t>();
    EXPECT_EQ(found.ids, Ids(values, values + wanted.numel()));
    EXPECT_EQ(found.delta, expected.integers("rope_deltas").at(static_cast<std::size_t>(row)));
  }
}

TEST(MropePositions, ImageAndVideoInOnePrompt) {
  // text, start, 1×2 image, start, two frames of 2×1 with a text token and start between, text
  const Ids prompt{5, 2009, 2012, 2012, 6, 2009, 2013, 2013, 7, 2009, 2013, 2013, 8};
  const std::vector<Grid> images{{1, 2, 4}}, videos{{2, 4, 2}};
  const MropePositions found = mrope_positions(kTokens, prompt, images, videos);
  EXPECT_EQ(found.ids, (Ids{0, 1, 2, 2, 4, 5, 6, 6, 8, 9, 10, 10, 12,  //
                            0, 1, 2, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12,  //
                            0, 1, 2, 3, 4, 5, 6, 6, 8, 9, 10, 10, 12}));
  EXPECT_EQ(found.delta, 0);
}

TEST(MropePositions, RefusesWhatDoesNotMatch) {
  const std::vector<Grid> one{{1, 2, 4}}, two{{1, 2, 4}, {1, 2, 2}}, odd{{1, 3, 4}}, clip{{2, 2, 4}};
  const Ids prompt{5, 2009, 2012, 2012, 6};
  const auto message = [](const Ids& ids, const std::vector<Grid>& images, const std::vector<Grid>& videos) {
    return refusal(ErrorKind::bad_input, [&] { mrope_positions(kTokens, ids, images, videos); });
  };
  EXPECT_NO_THROW(mrope_positions(kTokens, prompt, one, {}));
  EXPECT_EQ(message(prompt, {}, {}), "the prompt's token 2 begins image 0, but the grids given have only 0");
  EXPECT_EQ(message(prompt, two, {}), "image 1 has no placeholders in the prompt");
  EXPECT_EQ(message(prompt, one, clip), "video 0, frame 0 has no placeholders in the prompt");
  EXPECT_EQ(message({5, 2009, 2012, 6}, one, {}),
            "image 0 takes 2 tokens (1 rows of 2), but the prompt has 1 placeholders for it at token 2");
  EXPECT_EQ(message({2009, 2013, 2013, 6, 2009, 2013}, {}, clip),
            "video 0, frame 1 takes 2 tokens (1 rows of 2), but the prompt has 1 placeholders for it at token 5");
  EXPECT_EQ(message(prompt, odd, {}),
            "image 0 has the grid 1×3×4, expected at least one frame, and rows and columns "
            "that are multiples of 2");
  EXPECT_EQ(message({5, 2012, 2012}, one, {}),
            "the prompt's token 1 is an image placeholder, but the token before it "
            "is not 2009, which opens a picture");
}

ImageConfig image_config(std::int64_t patch, std::int64_t temporal, std::int64_t merge) {
  return {.patch_size = patch,
          .temporal_patch_size = temporal,
          .merge_size = merge,
          .min_pixels = 1,
          .max_pixels = 1 << 20,
          .image_mean = {0.5, 0.25, 0.125},
          .image_std = {0.5, 0.3, 0.7},
          .rescale_factor = 1.0 / 255.0};
}

RgbImage random_image(std::int64_t width, std::int64_t height, unsigned seed) {
  std::mt19937 random(seed);
  RgbImage image{.width = width, .height = height, .pixels = {}};
  for (std::int64_t i = 0; i < width * height * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(random()));
  return image;
}

/// The same patches by Hugging Face's view and permute, in double.
at::Tensor permuted_patches(const std::vector<RgbImage>& frames, const ImageConfig& c) {
  std::vector<at::Tensor> all;
  for (const RgbImage& frame : frames) {
    at::Tensor pixels = at::empty({frame.height, frame.width, 3}, at::kByte);
    std::ranges::copy(frame.pixels, pixels.data_ptr<std::uint8_t>());
    all.push_back(pixels.permute({2, 0, 1}).to(at::kDouble));  // [H, W, C] -> [C, H, W]
  }
  while (static_cast<std::int64_t>(all.size()) % c.temporal_patch_size != 0) all.push_back(all.back());
  at::Tensor x = at::stack(all) * c.rescale_factor;  // [T, C, H, W]
  for (std::int64_t channel = 0; channel < 3; ++channel) {
    const auto i = static_cast<std::size_t>(channel);
    x.select(1, channel).sub_(c.image_mean[i]).div_(c.image_std[i]);
  }
  const std::int64_t t = x.size(0) / c.temporal_patch_size, h = x.size(2) / c.patch_size, w = x.size(3) / c.patch_size;
  return x
      .reshape({t, c.temporal_patch_size, 3, h / c.merge_size, c.merge_size, c.patch_size, w / c.merge_size,
                c.merge_size, c.patch_size})
      .permute({0, 3, 6, 4, 7, 2, 1, 5, 8})
      .reshape({t * h * w, -1});
}

at::Tensor rows_of(const Patches& patches) {
  at::Tensor rows = at::empty({static_cast<std::int64_t>(patches.pixel_values.size())}, at::kFloat);
  std::ranges::copy(patches.pixel_values, rows.data_ptr<float>());
  return rows.reshape({patches.grid.patches(), -1});
}

TEST(ImagePatches, AgreeWithViewAndPermute) {
  struct Case {
    std::int64_t frames, width, height, patch, temporal, merge;
    Grid grid;
  };
  for (const Case& c : {Case{1, 24, 16, 4, 2, 2, {1, 4, 6}}, Case{4, 8, 16, 4, 2, 2, {2, 4, 2}},
                        Case{3, 16, 8, 4, 2, 2, {2, 2, 4}}, Case{5, 18, 9, 3, 3, 3, {2, 3, 6}}}) {
    std::vector<RgbImage> frames;
    for (unsigned i = 0; i < c.frames; ++i) frames.push_back(random_image(c.width, c.height, i));
    const ImageConfig config = image_config(c.patch, c.temporal, c.merge);
    const Patches found = image_patches(frames, config);
    EXPECT_EQ(found.grid, c.grid);
    // One rounding each for mean, difference and quotient.
    EXPECT_LT(test::max_difference(rows_of(found), permuted_patches(frames, config)), 1e-6);
  }
}

TEST(ImagePatches, EqualARecordedPicture) {
  // rgb_128x96.png through Hugging Face's processor, which leaves its size alone; recorded as 8-bit values u with
  // pixel_values = (u/255 - 0.5) / 0.5.
  const Recorded expected(test::data_path("images/pixels_u8.safetensors"));
  ImageConfig config = image_config(16, 2, 2);
  config.image_mean = config.image_std = {0.5, 0.5, 0.5};
  const std::vector<RgbImage> frames{read_image(test::data_path("images/rgb_128x96.png"))};
  const Patches found = image_patches(frames, config);
  EXPECT_EQ(found.grid, (Grid{1, 6, 8}));
  const at::Tensor pixels = expected["rgb_128x96.png:small"];
  EXPECT_TRUE(rows_of(found).equal((pixels.to(at::kFloat) - 127.5F) / 127.5F));
}

TEST(ImagePatches, RefusesWhatNeedsResizing) {
  const ImageConfig config = image_config(4, 2, 2);
  const auto message = [&](const std::vector<RgbImage>& frames) {
    return refusal(ErrorKind::bad_input, [&] { image_patches(frames, config); });
  };
  EXPECT_EQ(message({}), "there is no picture: expected one image or a clip's frames");
  EXPECT_EQ(message({random_image(12, 8, 1)}),
            "the picture is 12×8 pixels (width × height), expected multiples of 8 on "
            "both sides: it must be resized before");
  EXPECT_EQ(message({random_image(8, 8, 1), random_image(8, 16, 1)}),
            "frame 1 is 8×16 pixels, but frame 0 is 8×8: all frames of a clip need one size");
  RgbImage cut = random_image(8, 8, 1);
  cut.pixels.pop_back();
  EXPECT_EQ(message({cut}), "frame 0 has 191 values, expected 8×8×3");
}

}  // namespace
}  // namespace q3vl::prompt_test
