// The report as one page without scripts, fonts or pictures from elsewhere: it can be kept as a file of a CI run.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "qwen3vl_export/verify.h"

namespace q3vl {
namespace {

constexpr const char* kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1f2933}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:2px 12px 2px 0;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".ok{color:#1b7f4b}.bad{color:#b42318}svg{display:block;margin:1em 0}svg text{font:11px system-ui,sans-serif}"
    "li{margin:.2em 0;overflow-wrap:anywhere}";

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else
      safe += c;
  }
  return safe;
}

struct Bar {
  std::string label;
  double value;
  std::string text;
};

/// Bars from left to right, the longest across the plot.
std::string bars(const std::vector<Bar>& list) {
  constexpr int kRow = 20;
  constexpr int kLabel = 260;
  constexpr int kWidth = 520;
  double most = 0;
  for (const Bar& bar : list) most = std::max(most, bar.value);
  std::string svg = fmt::format("<svg width=\"960\" height=\"{}\" role=\"img\">", kRow * list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto y = static_cast<double>(i * kRow);
    const double width = most > 0 ? kWidth * list[i].value / most : 0;
    svg += fmt::format(
        "<text x=\"{}\" y=\"{:.0f}\" text-anchor=\"end\">{}</text><rect x=\"{}\" y=\"{:.0f}\" width=\"{:.1f}\" "
        "height=\"14\" fill=\"#3b6fb6\"/><text x=\"{:.1f}\" y=\"{:.0f}\">{}</text>",
        kLabel - 8, y + 13, escaped(list[i].label), kLabel, y + 2, width, kLabel + width + 6, y + 13,
        escaped(list[i].text));
  }
  return svg + "</svg>\n";
}

struct Series {
  std::string label;
  std::vector<std::pair<double, double>> points;
};

/// Lines over a common x axis, y from 0 up.
std::string lines(const std::vector<Series>& list, const std::string& x_label, const std::string& y_label) {
  constexpr std::array kColours = {"#3b6fb6", "#c2571a", "#1b7f4b", "#8a3ffc", "#a3195b", "#6b7280"};
  constexpr double kLeft = 70;
  constexpr double kWidth = 640;
  constexpr double kTop = 10;
  constexpr double kHeight = 220;
  double x_most = 1;
  double y_most = 0;
  for (const Series& series : list)
    for (const auto& [x, y] : series.points) {
      x_most = std::max(x_most, x);
      if (std::isfinite(y)) y_most = std::max(y_most, y);
    }
  const double scale = y_most > 0 ? kHeight / y_most : 0;
  std::string svg = fmt::format(
      "<svg width=\"960\" height=\"280\" role=\"img\"><path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#6b7280\"/>"
      "<text x=\"{4}\" y=\"{5}\" text-anchor=\"end\">{6:.2g}</text><text x=\"{4}\" y=\"{2}\" "
      "text-anchor=\"end\">0</text>"
      "<text x=\"{0}\" y=\"268\">{7}: 0 to {8:.0f}</text><text x=\"{4}\" y=\"120\" text-anchor=\"end\">{9}</text>",
      kLeft, kTop, kTop + kHeight, kLeft + kWidth, kLeft - 6, kTop + 10, y_most, escaped(x_label), x_most,
      escaped(y_label));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const char* colour = kColours[i % kColours.size()];
    std::string path;
    for (const auto& [x, y] : list[i].points)
      if (std::isfinite(y))
        path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', kLeft + kWidth * x / x_most,
                            kTop + kHeight - y * scale);
    svg += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>", path, colour);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" fill=\"{}\">{}</text>", kLeft + kWidth + 10,
                       kTop + 14 + 16 * static_cast<double>(i), colour, escaped(list[i].label));
  }
  return svg + "</svg>\n";
}

std::string check(const char* title, const char* meaning, const VerifyFindings& findings, const std::string& details) {
  std::string html = fmt::format("<h2>{} – ", title);
  if (!findings.run) return html + "not checked</h2>\n";
  html += findings.ok() ? "<span class=\"ok\">passed</span>" : "<span class=\"bad\">FAILED</span>";
  html += fmt::format("</h2>\n<p>{}</p>\n", meaning);
  if (!findings.ok()) {
    html += "<ul class=\"bad\">";
    for (const std::string& finding : findings.findings) html += "<li>" + escaped(finding) + "</li>";
    html += "</ul>\n";
  }
  return html + details;
}

/// The largest error of each value over its layers and cases.
std::string numerics_table(const NumericsCheck& numerics) {
  std::vector<std::string> order;
  std::map<std::string, double> largest;
  for (const NumericsRow& row : numerics.rows) {
    std::string value = row.value;
    if (value.starts_with("present.")) value = "cache: keys and values";
    if (value.starts_with("layer ")) value = "residual stream after each layer";
    const auto [place, is_new] = largest.emplace(value, row.error);
    if (is_new) order.push_back(value);
    place->second = std::max(place->second, row.error);
  }
  std::string html = "<table><tr><th>value<th>largest error over all cases</tr>\n";
  for (const std::string& value : order)
    html += fmt::format("<tr><td>{}<td class=\"n\">{:.2g}</tr>\n", escaped(value), largest.at(value));
  return html + "</table>\n";
}

std::string quality_plots(const QualityCheck& quality) {
  std::string html = fmt::format(
      "<p>Mean KL divergence {:.4g} nats (largest {:.4g}), the same most likely token at {:.1f} % of {} "
      "positions.</p>\n",
      quality.mean_kld, quality.largest_kld, quality.top1_agreement * 100, quality.positions.size());
  if (const auto& text = quality.text)
    html += fmt::format(
        "<table><tr><th>the texts given<th>positions<th>KL divergence<th>same top token<th>nats a token: checkpoint"
        "<th>package</tr>\n<tr><td>{} sequence{}<td class=\"n\">{}<td class=\"n\">{:.4g}<td class=\"n\">{:.1f} %"
        "<td class=\"n\">{:.4f}<td class=\"n\">{:.4f}</tr></table>\n",
        text->sequences, text->sequences == 1 ? "" : "s", text->positions, text->kld, text->top1_agreement * 100,
        text->nll_checkpoint, text->nll_package);
  html += "<table><tr><th>output<th>cosine<th>relative error</tr>\n";
  for (const ValueQuality& value : quality.components)
    html += fmt::format("<tr><td>{}<td class=\"n\">{:.8f}<td class=\"n\">{:.3g}</tr>\n", escaped(value.value),
                        value.cosine, value.relative_error);
  html += "</table>\n";
  Series layers{.label = "residual stream", .points = {}};
  for (std::size_t i = 0; i < quality.layers.size(); ++i)
    layers.points.emplace_back(static_cast<double>(i), quality.layers[i].relative_error);
  html += "<h3>Error by layer</h3>\n" + lines({layers}, "layer", "relative error");
  std::vector<Series> cases;
  std::map<std::int64_t, std::pair<double, int>> texts;  // sums over all sequences, which are too many for lines
  for (const PositionQuality& row : quality.positions) {
    if (row.text) {
      texts[row.position].first += row.kld;
      ++texts[row.position].second;
      continue;
    }
    if (cases.empty() || cases.back().label != row.name) cases.push_back({.label = row.name, .points = {}});
    cases.back().points.emplace_back(static_cast<double>(row.position), row.kld);
  }
  if (!texts.empty()) cases.push_back({.label = "mean of the texts given", .points = {}});
  for (const auto& [position, sum] : texts)
    cases.back().points.emplace_back(static_cast<double>(position), sum.first / sum.second);
  return html + "<h3>KL divergence by position</h3>\n" + lines(cases, "position in the prompt", "nats");
}

}  // namespace

std::string verify_report_html(const VerifyReport& report) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title><style>{1}</style></head>"
      "<body>\n<h1>{0}</h1>\n",
      "Proof of " + escaped(report.package), kStyle);
  html += fmt::format("<p>Recipe {}, against {}{}; {:.1f} s, peak memory {:.0f} MB.</p>\n", escaped(report.recipe),
                      escaped(report.checkpoint),
                      report.onnxruntime.empty() ? "" : ", in ONNX Runtime " + escaped(report.onnxruntime),
                      report.seconds, static_cast<double>(report.peak_memory_bytes) / 1e6);
  html +=
      check("Graph", "The graphs and configs were made again from the config and the recorded recipe and compared.",
            report.graph, fmt::format("<p>{} nodes, {} other files.</p>\n", report.graph.nodes, report.graph.files));
  html +=
      check("Weights", "Every weight was encoded again from the checkpoint and compared byte for byte.", report.weights,
            fmt::format("<p>{} tensors, {} bytes.</p>\n", report.weights.tensors, report.weights.bytes));
  html += check("Numerics",
                "The package in ONNX Runtime against an independent forward pass with the package's own weights.",
                report.numerics, numerics_table(report.numerics));
  html += check("Quality", "The package as it is shipped against the checkpoint's own weights.", report.quality,
                quality_plots(report.quality));
  std::vector<Bar> sizes;
  for (const RoleBytes& size : report.sizes)
    sizes.push_back({fmt::format("{} ({})", size.role, size.encoding), static_cast<double>(size.bytes),
                     fmt::format("{:.1f} MB", static_cast<double>(size.bytes) / 1e6)});
  html += "<h2>Sizes by role</h2>\n" + bars(sizes);
  return html + "</body></html>\n";
}

}  // namespace q3vl
