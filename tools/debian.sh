# shellcheck shell=bash
# Sourced by the tools that take Debian packages without installing them: how a tool fails, gains root and downloads.

fail() {
  echo "tools/$(basename "$0"): $*" >&2
  exit 1
}

# Runs a command as root, itself or through sudo; where neither is possible, says what to run.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "this needs root, and there is no sudo; run as root: $*"
  fi
}

# The address of the Debian archive that this machine uses itself.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | sort -u | head -n 1
}

# extract_packages FOLDER ARCHITECTURE SUITE PACKAGE...: unpacks Debian packages into FOLDER/root. apt works on sources,
# lists and caches of its own in FOLDER, so that this machine's are untouched. What apt said is in FOLDER/log; false when
# the suite does not have them.
extract_packages() {
  local folder=$1 architecture=$2 suite=$3 keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror deb
  local names=("${@:4}")
  mirror=$(debian_mirror)
  if [[ -z $mirror ]]; then
    as_root apt-get update -q
    mirror=$(debian_mirror)
  fi
  [[ -n $mirror ]] || fail "apt's sources name no Debian archive to take ${names[*]} from"
  [[ -e $keyring ]] || fail "$keyring is missing: install debian-archive-keyring"
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  echo "deb [arch=$architecture signed-by=$keyring] $mirror $suite main" >"$folder/sources.list"
  local apt=(apt-get -q -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Acquire::Languages=none
    -o APT::Architectures::="$architecture")
  # The unprivileged user that apt downloads as cannot write to this folder.
  if [[ $(id -u) == 0 ]]; then apt+=(-o APT::Sandbox::User=root); fi
  (cd "$folder" && "${apt[@]}" update && "${apt[@]}" download "${names[@]/%/:$architecture}") >"$folder/log" 2>&1 || return 1
  for deb in "$folder"/*.deb; do dpkg -x "$deb" "$folder/root"; done
}
