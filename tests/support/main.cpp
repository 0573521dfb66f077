// A program of tests: PROGRAM [FILE...] [--gtest_...] runs the tests of those files, `export_test` being those of
// tests/export_test.cpp, and without a file all of its tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <string>

namespace {

/// "Suite.Test:Suite.Test": the tests of `file`.
std::string tests_of(const std::string& file) {
  std::string names;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      if (std::filesystem::path(test.file()).stem() == file)
        names += std::string(suite.name()) + "." + test.name() + ":";
    }
  }
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  std::string names;
  for (int i = 1; i < argc; ++i) {
    const std::string tests = tests_of(argv[i]);
    if (tests.empty()) {
      std::fprintf(stderr, "%s: there are no tests of %s.cpp here\n", argv[0], argv[i]);
      return 2;
    }
    names += tests;
  }
  // A filter that only leaves tests out is one of these files too.
  std::string& filter = GTEST_FLAG_GET(filter);
  if (!names.empty() && (filter == "*" || filter.starts_with('-'))) {
    names.pop_back();
    filter = names + (filter == "*" ? "" : filter);
  }
  return RUN_ALL_TESTS();
}
