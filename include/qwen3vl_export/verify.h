// Proving a package against the checkpoint that it was made from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "qwen3vl_export/export.h"

namespace q3vl {

struct VerifyRequest {
  std::filesystem::path package;
  std::filesystem::path checkpoint;
  std::filesystem::path onnxruntime;          ///< libonnxruntime.so; empty: the one found (docs/INSTALL.md)
  std::vector<std::filesystem::path> images;  ///< pictures (PNG, JPEG), each a case of its own
  std::vector<std::filesystem::path> texts;   ///< JSON files of token ids (docs/VERIFY.md), for quality alone
  std::filesystem::path calibration;  ///< the file that the package was quantised with, for the check of the weights
  std::vector<std::string> checks = {"graph", "weights", "numerics", "quality"};
  double tolerance = 1e-4;        ///< of numerics
  std::optional<double> max_kld;  ///< in nats; a gate on the mean over positions
  int threads = 0;                ///< as many as there are processors
};

/// What a check found wrong: one sentence each. A check that was not asked for is not `run`.
struct VerifyFindings {
  bool run = false;
  std::vector<std::string> findings;

  bool ok() const { return findings.empty(); }
};

struct GraphCheck : VerifyFindings {
  std::int64_t nodes = 0;  ///< compared, those of subgraphs too
  std::int64_t files = 0;  ///< configs and copied files compared besides
};

struct WeightsCheck : VerifyFindings {
  std::int64_t tensors = 0;
  std::uint64_t bytes = 0;  ///< of the package's data files
};

/// How far one output of the package is from the reference in one case. The error is the largest |found − expected|
/// divided by the largest of 1, |expected| there, and the root mean square of the expected tensor.
struct NumericsRow {
  std::string name;  ///< of the case
  std::string value;
  double error;
};

struct NumericsCheck : VerifyFindings {
  double tolerance = 0;
  std::vector<NumericsRow> rows;
};

/// One position of a case: the divergence of the package's next-token distribution from the checkpoint's, in nats.
struct PositionQuality {
  std::string name;  ///< of the case
  std::int64_t position;
  double kld;
  bool same_top;      ///< the most likely token is the same
  bool text = false;  ///< of the user's
};

/// One output over all cases, or the residual stream after one layer.
struct ValueQuality {
  std::string value;
  double cosine;          ///< of the two vectors of all elements
  double relative_error;  ///< |found − expected| / |expected|
};

/// The same over the positions of the user's texts alone, and what the texts' own next tokens cost, in nats a token:
/// over the compared positions that have one.
struct TextQuality {
  std::int64_t sequences = 0;
  std::int64_t positions = 0;
  double kld = 0;
  double top1_agreement = 0;
  double nll_checkpoint = 0;
  double nll_package = 0;
};

struct QualityCheck : VerifyFindings {
  double mean_kld = 0;
  double largest_kld = 0;
  double top1_agreement = 0;
  std::optional<TextQuality> text;  ///< when there is one
  std::vector<PositionQuality> positions;
  std::vector<ValueQuality> components;
  std::vector<ValueQuality> layers;
};

struct RoleBytes {
  std::string role;
  std::string encoding;
  std::uint64_t bytes;
};

struct VerifyReport {
  std::string package;
  std::string checkpoint;
  std::string recipe;       ///< its name
  std::string onnxruntime;  ///< the version that ran the package; empty when none was needed
  std::vector<std::string> cases;
  std::vector<RoleBytes> sizes;
  GraphCheck graph;
  WeightsCheck weights;
  NumericsCheck numerics;
  QualityCheck quality;
  double seconds = 0;
  std::uint64_t peak_memory_bytes = 0;

  bool ok() const { return graph.ok() && weights.ok() && numerics.ok() && quality.ok(); }
};

/// Runs the checks that were asked for. What differs is in the report; thrown as Error is only what keeps the checks
/// from being made: a package without a manifest, a checkpoint that could not be exported, a wrong command.
VerifyReport verify_package(const VerifyRequest& request, const ExportObserver& observer);

/// The report as JSON, and as one self-contained HTML page with plots.
std::string verify_report_json(const VerifyReport& report);
std::string verify_report_html(const VerifyReport& report);

}  // namespace q3vl
