# shellcheck shell=sh
# Sourced by ./run, ./test and .ci/run: finds a Python, and keeps virtual environments.
# Needs `ROOT`, the folder of the repository. Never changes the working directory.

fail() {
  printf 'isocline: %s\n' "$*" >&2
  exit 1
}

# Whether a command is a Python that runs and is new enough: suits COMMAND MINOR
suits() {
  "$1" -I -S -c "import sys; sys.exit(sys.version_info < (3, $2))" >/dev/null 2>&1
}

version_of() {
  "$1" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

# Prints the Python to use: $PYTHON, else python3, else a newer one by its own name.
find_python() {
  if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" 11 ||
      fail "PYTHON=$PYTHON is not a Python of version 3.11 or newer. Name another, or unset PYTHON."
    command -v -- "$PYTHON"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
    if suits "$candidate" 11; then
      command -v -- "$candidate"
      return
    fi
  done
  found=$(version_of python3) || found=none
  fail "Python 3.11 or newer is needed; python3 here is: ${found:-none}." \
    "Install one (python.org, your system's packages, pyenv, conda), or name it: PYTHON=/path/to/python3.12 $0"
}

# What an installed environment must match: interpreter, place of the repository, dependencies.
key_of() {
  printf '%s %s %s\n' "$(version_of "$1/bin/python")" \
    "$(cat "$ROOT/pyproject.toml" "$ROOT/src/isocline/_version.py" ${2:+"$2"} | cksum)" "$ROOT"
}

is_ready() { # VENV WHAT CONSTRAINTS
  [ -x "$1/bin/isocline" ] && [ -f "$1/.isocline-$2" ] &&
    [ "$(cat "$1/.isocline-$2")" = "$(key_of "$1" "$3")" ] || return 1
  [ -z "${PYTHON:-}" ] || [ "$(version_of "$1/bin/python")" = "$(version_of "$PYTHON")" ]
}

# Makes the environment unless it is there: environment VENV run|test|lint [CONSTRAINTS]
#   run: Isocline (editable) with all extras; test: and what ./test needs; lint: and the linters.
environment() {
  is_ready "$1" "$2" "${3:-}" && return
  # Two first runs at once would spoil each other's work; the lock goes when this shell does.
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$1.lock"
    flock 9
    if is_ready "$1" "$2" "${3:-}"; then
      exec 9>&-
      return
    fi
  fi
  make_environment "$@"
  if command -v flock >/dev/null 2>&1; then exec 9>&-; fi
}

make_environment() {
  base=$(find_python) || exit 1
  if ! is_whole "$1" "$base"; then
    "$base" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
      fail "$base can not make virtual environments. On Debian and Ubuntu: apt install python3-venv" \
        "(or python$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv); or name another Python: PYTHON=/path/to/python3 $0"
    printf 'isocline: installing into %s (once; about 1 GB, some minutes)\n' "$1" >&2
    "$base" -m venv --clear "$1" >&2 || fail "The virtual environment $1 can not be made (see above)."
  else
    printf 'isocline: updating %s\n' "$1" >&2
  fi
  # The stamps are written last, so an interrupted installation is begun anew by the next run.
  rm -f "$1"/.isocline-*
  case $2 in
    run) install "$1" -e '.[all]' ${3:+-c "$3"} && set -- "$1" "${3:-}" run ;;
    test) with_groups "$1" "${3:-}" --group test && set -- "$1" "${3:-}" run test ;;
    lint) with_groups "$1" "${3:-}" --group lint && set -- "$1" "${3:-}" run lint ;;
  esac
  key=$(key_of "$1" "$2")
  venv=$1
  shift 2
  for what in "$@"; do printf '%s\n' "$key" >"$venv/.isocline-$what"; done
}

# Whether an environment was installed completely, by this Python, for this place.
is_whole() {
  [ -f "$1/.isocline-run" ] || return 1
  read -r made rest <"$1/.isocline-run"
  [ "$made" = "$(version_of "$1/bin/python")" ] && [ "$made" = "$(version_of "$2")" ] || return 1
  case $rest in *" $ROOT") ;; *) return 1 ;; esac
}

with_groups() { # VENV CONSTRAINTS GROUPS...
  grouped=$1
  limits=$2
  shift 2
  # Dependency groups need pip 25.1.
  install "$grouped" -U 'pip>=25.1' && install "$grouped" -e '.[all]' "$@" ${limits:+-c "$limits"}
}

install() { # VENV ARGUMENTS...
  pip_of=$1/bin/python
  shift
  (
    cd -- "$ROOT" &&
      PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 "$pip_of" -m pip install -qq --no-input "$@" >&2
  ) || fail "The installation failed (pip says why, above). The first run needs the network and about 1 GB;" \
    "mend the cause and run it again: what was downloaded is kept."
}
