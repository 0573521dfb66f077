#include "data/data_writer.h"

namespace q3vl {

DataWriter::DataWriter(const DataLayout& layout, const std::filesystem::path& folder) : layout_(layout) {
  for (const auto& [name, size] : layout.files()) {
    const auto [place, added] =
        files_.try_emplace(name, File::create(folder / name), FileDigest(layout.places_in(name), size));
    place->second.file.reserve(size);
  }
}

WrittenData DataWriter::write(const WeightSource& source, int threads,
                              const std::function<void(std::uint64_t done)>& progress) {
  const auto write_rows = [&](const EncodedRows& rows) {
    DataFile& data = files_.at(rows.weight->file);
    {
      const std::lock_guard lock(data.writing);
      for (std::size_t part = 0; part < rows.parts.size(); ++part)
        data.file.write_once_at(rows.offset(part), rows.parts[part]);
    }
    const std::lock_guard lock(data.digesting);
    for (std::size_t part = 0; part < rows.parts.size(); ++part) data.digest.add(rows.offset(part), rows.parts[part]);
  };
  WrittenData written{.sha256 = {}, .nonfinite = encode_weights(layout_, source, threads, write_rows, progress)};
  for (auto& [name, data] : files_) {
    data.file.finish();
    written.sha256[name] = data.digest.hex();
  }
  return written;
}

}  // namespace q3vl
