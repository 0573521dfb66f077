#include "onnx/model_differences.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/util/message_differencer.h>
#include <onnx/onnx_pb.h>

#include <map>

#include "onnx/model_file.h"

namespace q3vl {
namespace {

using google::protobuf::Message;
using google::protobuf::RepeatedPtrField;
using google::protobuf::util::MessageDifferencer;

std::string shown(const Message& message) {
  constexpr std::size_t kMost = 200;
  std::string text = message.ShortDebugString();
  if (text.size() > kMost) text = text.substr(0, kMost) + " …";
  return "{" + text + "}";
}

/// An attribute's value as people write it.
std::string value_of(const onnx::AttributeProto& attribute) {
  switch (attribute.type()) {
    case onnx::AttributeProto::INT:
      return std::to_string(attribute.i());
    case onnx::AttributeProto::FLOAT:
      return fmt::format("{}", attribute.f());
    case onnx::AttributeProto::STRING:
      return "\"" + attribute.s() + "\"";
    case onnx::AttributeProto::INTS:
      return fmt::format("[{}]", fmt::join(attribute.ints(), ", "));
    default:
      return shown(attribute);
  }
}

class Comparison {
 public:
  std::vector<std::string> compare(onnx::ModelProto found, onnx::ModelProto expected) {
    found.clear_producer_version();
    expected.clear_producer_version();
    graphs("", *found.mutable_graph(), *expected.mutable_graph());
    found.clear_graph();
    expected.clear_graph();
    rest("the model", found, expected);
    return std::move(differences_);
  }

 private:
  void add(const std::string& where, const std::string& what) { differences_.push_back(where + ": " + what); }

  /// What is left of two messages after the parts that are compared one by one were taken out.
  void rest(const std::string& where, const Message& found, const Message& expected) {
    std::string report;
    MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&report);
    if (differencer.Compare(expected, found)) return;
    while (!report.empty() && report.back() == '\n') report.pop_back();
    for (std::size_t at = report.find('\n'); at != std::string::npos; at = report.find('\n'))
      report.replace(at, 1, "; ");
    add(where, report);
  }

  /// Elements by their names: what is missing, what is too many, pairs to `each`, and their order.
  template <typename Element, typename Describe, typename Each>
  void by_name(const std::string& where, const RepeatedPtrField<Element>& found,
               const RepeatedPtrField<Element>& expected, const Describe& describe, const Each& each) {
    std::map<std::string, const Element*> places;
    for (const Element& element : found)
      if (!places.emplace(element.name(), &element).second)
        add(where + describe(element), "stands there more than once");
    const std::size_t before = differences_.size();
    for (const Element& element : expected) {
      const auto place = places.find(element.name());
      if (place == places.end()) {
        add(where + describe(element), "is missing");
      } else {
        each(*place->second, element);
        places.erase(place);
      }
    }
    for (const auto& [name, element] : places) add(where + describe(*element), "is not expected");
    if (differences_.size() > before || found.size() != expected.size()) return;
    for (int i = 0; i < found.size(); ++i)
      if (found[i].name() != expected[i].name()) {
        add(where + describe(found[i]), fmt::format("stands where {} is expected", describe(expected[i])));
        return;
      }
  }

  void graphs(const std::string& where, onnx::GraphProto& found, onnx::GraphProto& expected) {
    by_name(
        where, found.node(), expected.node(),
        [](const onnx::NodeProto& node) { return fmt::format("node {} ({})", node.name(), node.op_type()); },
        [&](const onnx::NodeProto& a, const onnx::NodeProto& b) { nodes(where, a, b); });
    const auto whole = [&](const char* kind) {
      return [&, kind](const auto& a, const auto& b) {
        if (!MessageDifferencer::Equals(a, b))
          add(where + kind + " " + b.name(), fmt::format("is {}, expected {}", shown(a), shown(b)));
      };
    };
    const auto named = [](const char* kind) {
      return [kind](const auto& element) { return fmt::format("{} {}", kind, element.name()); };
    };
    by_name(where, found.input(), expected.input(), named("input"), whole("input"));
    by_name(where, found.output(), expected.output(), named("output"), whole("output"));
    by_name(where, found.initializer(), expected.initializer(), named("initializer"), whole("initializer"));
    for (onnx::GraphProto* graph : {&found, &expected}) {
      graph->clear_node();
      graph->clear_input();
      graph->clear_output();
      graph->clear_initializer();
    }
    rest(where + "the graph", found, expected);
  }

  void nodes(const std::string& where, onnx::NodeProto found, onnx::NodeProto expected) {
    const std::string place = fmt::format("{}node {} ({})", where, expected.name(), expected.op_type());
    const auto text = [&](const char* what, const std::string& a, const std::string& b) {
      if (a != b) add(place, fmt::format("{} is \"{}\", expected \"{}\"", what, a, b));
    };
    text("the operator", found.op_type(), expected.op_type());
    text("the domain", found.domain(), expected.domain());
    text("the list of inputs", fmt::format("{}", fmt::join(found.input(), ", ")),
         fmt::format("{}", fmt::join(expected.input(), ", ")));
    text("the list of outputs", fmt::format("{}", fmt::join(found.output(), ", ")),
         fmt::format("{}", fmt::join(expected.output(), ", ")));
    by_name(
        place + ": ", found.attribute(), expected.attribute(),
        [](const onnx::AttributeProto& attribute) { return "attribute " + attribute.name(); },
        [&](const onnx::AttributeProto& a, const onnx::AttributeProto& b) { attributes(place, a, b); });
    for (onnx::NodeProto* node : {&found, &expected}) {
      node->clear_op_type();
      node->clear_domain();
      node->clear_input();
      node->clear_output();
      node->clear_attribute();
    }
    rest(place, found, expected);
  }

  void attributes(const std::string& place, onnx::AttributeProto found, onnx::AttributeProto expected) {
    if (found.has_g() && expected.has_g()) {
      graphs(fmt::format("{}, attribute {}: ", place, expected.name()), *found.mutable_g(), *expected.mutable_g());
      found.clear_g();
      expected.clear_g();
    }
    if (!MessageDifferencer::Equals(found, expected))
      add(place, fmt::format("attribute {} is {}, expected {}", expected.name(), value_of(found), value_of(expected)));
  }

  std::vector<std::string> differences_;
};

}  // namespace

std::vector<std::string> model_differences(const std::filesystem::path& found, const std::string& expected) {
  return Comparison().compare(read_model_file(found), parse_model(expected, "the expected model"));
}

}  // namespace q3vl
