#!/usr/bin/env bash
# Creates or completes the Python environment of this repository and prints its interpreter's path.
# Progress goes to stderr and the path alone to stdout, so that a script can write
#     python="$(bash tools/setup_env.sh)" || exit
set -euo pipefail

root="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)"
requirements="$root/requirements.txt"
venv="${MMTAIL_VENV:-$root/.venv}"
case "$venv" in /*) ;; *) venv="$PWD/$venv" ;; esac
stamp="$venv/.mmtail-ready"    # written last: its absence means that a set-up was interrupted
marker="$venv/.mmtail-lock"    # written first: what carries it may be emptied and made again
installing="$venv/.mmtail-installing"    # there while packages are being written
needed_gb=6                    # the torch wheel for Linux brings 4 GB of CUDA libraries

usage() {
    cat <<'USAGE'
Usage: bash tools/setup_env.sh

Creates the virtual environment .venv in the repository root and installs requirements.txt into it,
through uv when it can be had, else pip. Prints the path of its Python. Does nothing when the
environment is up to date; finishes or redoes an interrupted set-up.

Environment variables:
  PYTHON       interpreter to build on (default: the first of python3.12, python3.13, python3.11,
               python3 that runs and is 3.11, 3.12 or 3.13)
  MMTAIL_VENV  folder of the environment (default: .venv in the repository root)
USAGE
}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Prints '<major.minor> <absolute path>' of an interpreter, the path being that of the Python which
# a virtual environment was made from: building on the environment that is replaced would saw off
# the branch. Fails for a pyenv shim of a version that is not active, which exists but does not run.
probe() {
    "$1" -c 'import sys
print("%d.%d" % sys.version_info[:2], getattr(sys, "_base_executable", None) or sys.executable)' \
        2>/dev/null
}

supported() { case "$1" in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

base_python=''
base_version=''
find_python() {
    local candidate answer seen=''
    for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.13 python3.11 python3; do
        answer="$(probe "$candidate")" || answer=''
        base_version="${answer%% *}"
        base_python="${answer#* }"
        if supported "$base_version"; then return; fi
        seen="$seen${seen:+, }$candidate ${base_version:-does not run}"
        if [ -n "${PYTHON:-}" ]; then break; fi
    done
    die "Python 3.11, 3.12 or 3.13 is needed (found: $seen); install one and name it," \
        "for example: PYTHON=/path/to/python3.12 bash $0"
}

# What the environment was made for: contents of requirements.txt and version of Python.
fingerprint() {
    "$venv/bin/python" - "$requirements" <<'PY' 2>/dev/null
import hashlib, pathlib, sys
print(hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest(), '%d.%d' % sys.version_info[:2])
PY
}

is_ready() {
    [ -f "$stamp" ] && [ "$(fingerprint)" = "$(cat "$stamp")" ] || return 1
    # A Python named by the user that is of another version is a wish for another environment.
    [ -z "${PYTHON:-}" ] || [ "$(probe "$PYTHON" | cut -d' ' -f1)" = "$(cut -d' ' -f2 "$stamp")" ]
}

# A Python of a supported version, and of the one the user asked for.
has_usable_venv() {
    local version
    version="$(probe "$venv/bin/python" | cut -d' ' -f1)" || return 1
    [ -e "$venv/pyvenv.cfg" ] && supported "$version" || return 1
    [ -z "${PYTHON:-}" ] || [ "$version" = "$base_version" ]
}

# Never empties a folder that this script did not make: MMTAIL_VENV may have been mistyped.
claim_folder() {
    if [ -e "$venv" ] && [ ! -d "$venv" ]; then
        die "$venv is a file; the environment needs a folder of that name (or set MMTAIL_VENV)"
    fi
    if [ -d "$venv" ] && [ -n "$(ls -A "$venv")" ] && [ ! -e "$marker" ] && ! has_usable_venv; then
        die "$venv is not empty and holds no environment of Python ${PYTHON:+$base_version }that" \
            "can be used; remove it or set MMTAIL_VENV to another folder"
    fi
    if ! { mkdir -p "$venv" && : >>"$marker"; } 2>/dev/null; then
        die "cannot write into $venv; set MMTAIL_VENV to a writable folder"
    fi
}

take_lock() {
    command -v flock >/dev/null || return 0
    exec 9>>"$marker"
    flock -n 9 || { say "another set-up works on $venv: waiting for it"; flock 9; }
}

check_disk() {
    local free_kb used_kb
    free_kb="$(df -Pk "$venv" | awk 'NR == 2 {print $4}')"
    used_kb="$(du -sk "$venv" | cut -f1)"
    if [ $((free_kb + used_kb)) -lt $((needed_gb * 1024 * 1024)) ]; then
        die "the environment needs about $needed_gb GB and $venv has $((free_kb / 1024)) MB free;" \
            "make room or set MMTAIL_VENV to a folder on another disk"
    fi
}

# Accepts only a uv that runs; some installations leave a shim that does not.
find_uv() {
    for uv in "$(command -v uv || true)" "$venv/bin/uv"; do
        if [ -n "$uv" ] && "$uv" --version >/dev/null 2>&1; then return; fi
    done
    uv=''
    return 1
}

make_venv() {
    say "making $venv with Python $base_version ($base_python)"
    find "$venv" -mindepth 1 -maxdepth 1 ! -name "${marker##*/}" -exec rm -rf {} +
    local log
    if log="$("$base_python" -m venv "$venv" 2>&1)"; then return; fi
    # Debian's Python comes without ensurepip; uv needs neither it nor the venv module.
    if find_uv && "$uv" venv --quiet --allow-existing --python "$base_python" "$venv" >&2; then
        return
    fi
    say "$log"
    die "$base_python cannot make a virtual environment; install its venv module" \
        "(Debian, Ubuntu: apt install python${base_version:-3}-venv) and run this again"
}

pip() {
    # A user-wide `user = true` in pip's settings is refused inside an environment.
    PIP_USER=0 "$venv/bin/python" -m pip --disable-pip-version-check "$@" >&2
}

ensure_pip() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 \
        || "$venv/bin/python" -m ensurepip >/dev/null 2>&1
}

# Installs what is missing, or everything anew if "$1" is given. uv reads none of pip's settings:
# a mirror and a certificate are handed over.
uv_install() {
    local index="${PIP_INDEX_URL:-}"
    if [ -z "$index" ]; then
        index="$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null)" || index=''
    fi
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"; fi
    if [ -n "${PIP_CERT:-}" ]; then export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"; fi
    local compile=''
    # uv leaves compilation to the first import, which this setting would repeat at every start.
    if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then compile='--compile-bytecode'; fi
    "$uv" pip install ${compile:+"$compile"} ${1:+--reinstall} --python "$venv/bin/python" \
        -r "$requirements" >&2
}

# A package whose files were being written when an installation was stopped looks installed: after
# that, everything is installed anew (out of the cache, so nothing is downloaded twice).
install_requirements() {
    local anew=''
    if [ -e "$installing" ]; then anew=yes; fi
    : >"$installing"
    if find_uv || { ensure_pip && pip install --quiet --retries 1 uv && find_uv; }; then
        say "installing requirements.txt with uv"
        if uv_install "$anew"; then rm "$installing"; return; fi
        say "uv did not finish: trying pip"
        anew=yes
    else
        say "uv cannot be had: using pip, which takes several times as long"
    fi
    ensure_pip || die "$venv has no pip and Python's ensurepip is missing; install pip or uv" \
        "(Debian, Ubuntu: apt install python${base_version:-3}-venv) and run this again"
    pip install ${anew:+--force-reinstall} -r "$requirements" \
        || die "the step 'install requirements.txt' failed, see the lines above;" \
            "most often the network or the disk: run this again to continue where it stopped"
    rm "$installing"
}

# The one package that links libraries of the system; minimal containers lack them.
check_import() {
    local log
    log="$("$venv/bin/python" -c 'import cv2' 2>&1)" && return
    die "OpenCV is installed but does not load ($(printf '%s' "$log" | tail -n 1));" \
        "install its system libraries (Debian, Ubuntu: apt install libgl1 libglib2.0-0)" \
        "and run this again"
}

main() {
    case "${1:-}" in
        '') ;;
        -h | --help) usage; exit ;;
        *) usage >&2; exit 2 ;;
    esac
    [ -f "$requirements" ] || die "$requirements is missing; is the checkout complete?"
    if ! is_ready; then
        if [ -n "${PYTHON:-}" ] || ! has_usable_venv; then find_python; fi
        claim_folder
        take_lock
        if ! is_ready; then
            trap 'say "interrupted: run this again to continue"; exit 130' INT TERM
            rm -f "$stamp"
            check_disk
            has_usable_venv || make_venv
            install_requirements
            check_import
            fingerprint >"$stamp.part" && mv "$stamp.part" "$stamp"
            say "environment ready: $venv"
        fi
    fi
    printf '%s\n' "$venv/bin/python"
}

main "$@"
