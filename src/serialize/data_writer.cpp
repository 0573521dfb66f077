#include "serialize/data_writer.h"

#include <map>

#include "base/file.h"

namespace q3vl {

void write_data_files(const DataLayout& layout, const WeightSource& source, const std::filesystem::path& folder,
                      int threads, const std::function<void(std::uint64_t done)>& progress) {
  std::map<std::string, File> files;
  for (const auto& [name, size] : layout.files()) {
    File file = File::create(folder / name);
    file.resize(size);
    files.emplace(name, std::move(file));
  }
  const auto write = [&](const EncodedRows& rows) {
    const File& file = files.at(rows.weight->file);
    for (std::size_t part = 0; part < rows.parts.size(); ++part) file.write_at(rows.offset(part), rows.parts[part]);
  };
  encode_weights(layout, source, threads, write, progress);
  for (auto& [name, file] : files) file.finish();
}

}  // namespace q3vl
