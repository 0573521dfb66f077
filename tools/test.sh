# What tools/test and tools/test-nightly share; sourced, from the project's folder.

passed=0
failed=0

# run_tests PRESET [TARGET...] [-- CTEST_OPTION...]: builds a preset and counts its tests. One that skips has failed: all
# that a test may skip for is installed.
run_tests() {
  local preset=$1 targets=() results
  shift
  while [[ $# -gt 0 && $1 != -- ]]; do targets+=("$1"); shift; done
  [[ $# -gt 0 ]] && shift
  echo "== $preset =="
  tools/build "$preset" "${targets[@]}"
  results=build/$preset/ctest.xml
  rm -f "$results"
  ctest --preset "$preset" -j"$(nproc)" --output-junit "$PWD/$results" "$@" || true
  passed=$((passed + $(count tests) - $(count failures) - $(count disabled) - $(count skipped)))
  failed=$((failed + $(count failures) + $(count skipped)))
}

# count WHAT: a number of the head of $results: tests, failures, disabled, skipped.
count() {
  sed -nE "s/^[[:space:]]*$1=\"([0-9]+)\".*/\1/p" "$results" | head -n 1
}

report() {
  echo "$passed passed, $failed failed"
  [[ $failed == 0 && $passed -gt 0 ]]
}
