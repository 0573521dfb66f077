#include "base/json.h"
#include "qwen3vl_export/verify.h"

namespace q3vl {
namespace {

OrderedJson to_json(const VerifyFindings& check) {
  return {{"ok", check.ok()}, {"findings", check.findings}};
}

OrderedJson to_json(const std::vector<ValueQuality>& values) {
  OrderedJson list = OrderedJson::array();
  for (const ValueQuality& value : values)
    list.push_back({{"value", value.value}, {"cosine", value.cosine}, {"relative_error", value.relative_error}});
  return list;
}

OrderedJson to_json(const NumericsCheck& check) {
  OrderedJson json = to_json(static_cast<const VerifyFindings&>(check));
  json["tolerance"] = check.tolerance;
  json["values"] = OrderedJson::array();
  double largest = 0;
  for (const NumericsRow& row : check.rows) {
    json["values"].push_back({{"case", row.name}, {"value", row.value}, {"error", row.error}});
    largest = std::max(largest, row.error);
  }
  json["largest_error"] = largest;
  return json;
}

OrderedJson to_json(const QualityCheck& check) {
  OrderedJson json = to_json(static_cast<const VerifyFindings&>(check));
  json["mean_kld"] = check.mean_kld;
  json["largest_kld"] = check.largest_kld;
  json["top1_agreement"] = check.top1_agreement;
  if (check.text)
    json["text"] = {{"sequences", check.text->sequences},
                    {"positions", check.text->positions},
                    {"kld", check.text->kld},
                    {"top1_agreement", check.text->top1_agreement},
                    {"nll_checkpoint", check.text->nll_checkpoint},
                    {"nll_package", check.text->nll_package}};
  json["components"] = to_json(check.components);
  json["layers"] = to_json(check.layers);
  json["positions"] = OrderedJson::array();
  for (const PositionQuality& row : check.positions)
    json["positions"].push_back(
        {{"case", row.name}, {"position", row.position}, {"kld", row.kld}, {"same_top", row.same_top}});
  return json;
}

}  // namespace

std::string verify_report_json(const VerifyReport& report) {
  OrderedJson json = {{"ok", report.ok()},       {"package", report.package},         {"checkpoint", report.checkpoint},
                      {"recipe", report.recipe}, {"onnxruntime", report.onnxruntime}, {"cases", report.cases}};
  if (report.graph.run) {
    json["graph"] = to_json(report.graph);
    json["graph"]["nodes"] = report.graph.nodes;
    json["graph"]["files"] = report.graph.files;
  }
  if (report.weights.run) {
    json["weights"] = to_json(report.weights);
    json["weights"]["tensors"] = report.weights.tensors;
    json["weights"]["bytes"] = report.weights.bytes;
  }
  if (report.numerics.run) json["numerics"] = to_json(report.numerics);
  if (report.quality.run) json["quality"] = to_json(report.quality);
  json["sizes"] = OrderedJson::array();
  for (const RoleBytes& size : report.sizes)
    json["sizes"].push_back({{"role", size.role}, {"encoding", size.encoding}, {"bytes", size.bytes}});
  json["seconds"] = report.seconds;
  json["peak_memory_bytes"] = report.peak_memory_bytes;
  return json.dump(2) + "\n";
}

}  // namespace q3vl
