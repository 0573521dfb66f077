// The story of checking a folder: what its manifest says of the files, and what its clients demand of them.
#include "qwen3vl_export/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <mutex>

#include "base/json.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "chat/template_check.h"
#include "contract/file_names.h"
#include "package/manifest.h"
#include "qwen3vl_export/inspect.h"
#include "tokenizer/tokenizer.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

struct ListedFile {
  std::string name;
  ManifestFile recorded;
};

std::vector<ListedFile> read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  if (!fs::exists(path))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is missing; expected a folder that this program wrote, whose manifest records the "
                            "digest of every file",
                            path.string()));
  const Json document = read_json_file(path);
  const JsonObject manifest(document, path.string());
  if (const std::int64_t format = manifest.integer("format", 1, INT64_MAX); format < kManifestFormat)
    manifest.fail(
        fmt::format("format is {}, expected {}: it is of an older version of this program, which recorded no "
                    "digests; export again",
                    format, kManifestFormat));
  std::vector<ListedFile> files;
  for (const auto& [name, recorded] : listed_files(manifest)) files.push_back({name, recorded});
  // The largest first, so that no thread waits for it at the end.
  std::ranges::stable_sort(files, std::ranges::greater{}, [](const ListedFile& file) { return file.recorded.bytes; });
  return files;
}

/// What is wrong with a file; empty when nothing is.
std::string compare(const fs::path& folder, const ListedFile& file) {
  const fs::path path = folder / file.name;
  const fs::file_status status = fs::symlink_status(path);
  if (!fs::exists(status)) return fmt::format("{}: is missing", file.name);
  if (!fs::is_regular_file(status)) return fmt::format("{}: is not a regular file", file.name);
  const std::uint64_t bytes = fs::file_size(path);
  if (bytes != file.recorded.bytes)
    return fmt::format("{}: is {} bytes long, expected {}", file.name, bytes, file.recorded.bytes);
  const std::string found = sha256_of_file(path);
  if (found != file.recorded.sha256)
    return fmt::format("{}: its SHA-256 is {}, expected {}: its bytes changed after it was written", file.name, found,
                       file.recorded.sha256);
  return "";
}

void compare_files(const fs::path& folder, const std::vector<ListedFile>& files, int threads,
                   const ExportObserver& observer, CheckReport& report) {
  std::uint64_t total = 0;
  for (const ListedFile& file : files) total += file.recorded.bytes;
  std::vector<std::string> findings(files.size());
  std::mutex mutex;
  parallel_for(files.size(), threads, [&](std::size_t index) {
    findings[index] = compare(folder, files[index]);
    const std::lock_guard lock(mutex);
    ++report.files;
    report.bytes += files[index].recorded.bytes;
    observer.progress({report.bytes, total, "compared", ""});
  });
  std::ranges::copy_if(findings, std::back_inserter(report.findings), [](const auto& f) { return !f.empty(); });
}

/// Whether a package is for pictures, as genai_config.json, in which nothing was found, says.
bool sees_pictures(const fs::path& package) {
  const Json config = read_json_file(package / kGenaiConfigFile);
  return config.contains(Json::json_pointer("/model/vision"));
}

/// The chat template and the tokenizer of a package, tried as an export tries them.
void check_prompts(const fs::path& package, CheckReport& report) {
  const auto attempt = [&](const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unsupported) return;  // by run, not by the clients
      if (error.kind() != ErrorKind::bad_input) throw;
      report.findings.push_back(std::string(error.what()).substr((package / "").string().size()));
    }
  };
  attempt([&] { check_chat_template(ChatTemplate::of_folder(package), sees_pictures(package)); });
  attempt([&] { const Tokenizer tokenizer(package / "tokenizer.json"); });
}

void check_clients(const fs::path& folder, CheckReport& report) {
  std::vector<Finding> findings;
  if (recognize_folder(folder) == FolderKind::checkpoint) {
    findings = inspect_checkpoint(folder).findings;
  } else {
    const PackageInspection inspection = inspect_package(folder);
    findings = inspection.findings;
    for (const InspectedClient& client : inspection.clients)
      if (client.loads) report.clients.push_back(client.name);
    if (findings.empty() && fs::exists(folder / kGenaiConfigFile)) check_prompts(folder, report);
  }
  for (const Finding& finding : findings)
    report.findings.push_back(fmt::format("{}: {}", finding.kind, finding.message));
}

}  // namespace

CheckReport check_folder(const fs::path& folder, int threads, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::bad_input, fmt::format("{}: is not a folder; expected a package", folder.string()));
  const std::vector<ListedFile> files = read_manifest(folder);
  CheckReport report{.folder = folder.string()};
  compare_files(folder, files, threads > 0 ? threads : available_processors(), observer, report);
  check_clients(folder, report);
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink()) continue;
    const std::string name = entry.path().lexically_relative(folder).string();
    if (name != kManifestFile && std::ranges::find(files, name, &ListedFile::name) == files.end())
      report.unlisted.push_back(name);
  }
  std::ranges::sort(report.unlisted);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string check_report_json(const CheckReport& report) {
  const OrderedJson document = {{"folder", report.folder},     {"ok", report.ok()},
                                {"files", report.files},       {"bytes", report.bytes},
                                {"clients", report.clients},   {"unlisted", report.unlisted},
                                {"findings", report.findings}, {"seconds", report.seconds}};
  return document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace q3vl
