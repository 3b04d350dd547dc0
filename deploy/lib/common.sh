# Shell functions shared by the scripts under deploy/. Source it from bash: . "$(dirname "$0")/lib/common.sh"
#
# Rules for every script: progress is one line per step on standard error; the noise of tools goes to a log that is
# shown only when a step fails; a failure is one clear line that says what to do.

# Root of the source tree.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# say TEXT: one line for the user.
say() { printf '%s\n' "$*" >&2; }

# die TEXT: one line that says what is wrong and what to do; ends the script.
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# step TEXT COMMAND…: runs the command quietly, printing "TEXT …" and the seconds it took. When the command fails, the
# last lines of what it printed are shown and the status is handed back.
step() {
    local text=$1 log start=$SECONDS status=0
    shift
    log=$(mktemp)
    printf '%s …' "$text" >&2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then
        printf ' %d s\n' $((SECONDS - start)) >&2
    else
        printf ' failed\n' >&2
        tail -n 20 "$log" | sed 's/^/    /' >&2
    fi
    rm -f "$log"
    return "$status"
}

# have TOOL: is it in PATH?
have() { command -v "$1" >/dev/null 2>&1; }

# need_tools TOOL…: ends the script with one line that names all that are missing.
need_tools() {
    local tool missing=()
    for tool; do have "$tool" || missing+=("$tool"); done
    [ "${#missing[@]}" = 0 ] || die "missing: ${missing[*]}; run 'sudo $ROOT/deploy/install' to install what is needed"
}

# need_root: ends the script unless run by root.
need_root() { [ "$(id -u)" = 0 ] || die "this needs root; run it again with sudo"; }

# home_of USER: the home directory of a user.
home_of() { getent passwd "$1" | cut -d: -f6; }

# find_cargo: looks for a Rust toolchain in PATH, then in the home of the caller, then in that of the user who called
# sudo. Exports CARGO (the program) and PATH, and the rustup home that belongs to it. Never downloads a toolchain.
find_cargo() {
    local home homes=()
    if ! have cargo; then
        homes+=("${HOME:-/root}" "$(home_of "$(id -un)")")
        [ -z "${SUDO_USER:-}" ] || homes+=("$(home_of "$SUDO_USER")")
        for home in "${homes[@]}"; do
            [ -n "$home" ] && [ -x "$home/.cargo/bin/cargo" ] || continue
            export PATH="$home/.cargo/bin:$PATH"
            # rustup looks in HOME, which sudo changes.
            [ ! -d "$home/.rustup" ] || export RUSTUP_HOME="${RUSTUP_HOME:-$home/.rustup}"
            break
        done
    fi
    have cargo || die "no Rust toolchain found; install one with 'apt install rustup' or as https://rustup.rs shows, then run this again"
    CARGO=$(command -v cargo)
    export CARGO
    # A rustup proxy without a toolchain behind it is no toolchain. The tree's rust-toolchain.toml counts.
    (cd "$ROOT" && cargo --version) >/dev/null 2>&1 \
        || die "$CARGO does not run in $ROOT; run 'cargo --version' there to see why, then run this again"
}

# systemd_runs: is systemd the init of this machine (and not merely installed)?
systemd_runs() { [ -d /run/systemd/system ]; }

# libvirt_answers: does the system libvirt daemon answer within 15 seconds?
libvirt_answers() { timeout 15 virsh -q -c qemu:///system version >/dev/null 2>&1; }

# start_libvirtd: makes qemu:///system answer: through systemd, or by starting the two daemons where there is no
# systemd (containers, CI). Does nothing when a daemon answers already. Daemons started here stay.
start_libvirtd() {
    # Three minutes: libvirt first tries each emulator, which is slow where nothing reaps its children (containers).
    local deadline=$((SECONDS + 180))
    need_tools virsh
    libvirt_answers && return 0
    if systemd_runs; then
        # A socket-activated libvirtd (Debian 12) or the per-driver daemons (newer distributions).
        systemctl start virtlogd.socket libvirtd.socket 2>/dev/null \
            || systemctl start virtlogd.socket virtqemud.socket 2>/dev/null \
            || systemctl start libvirtd 2>/dev/null \
            || die "systemd could not start libvirt; see 'systemctl status libvirtd'"
    else
        need_tools libvirtd virtlogd
        mkdir -p /run/libvirt /var/log/libvirt
        # Each puts itself in the background and refuses to start twice.
        [ -S /run/libvirt/virtlogd-sock ] && pidof virtlogd >/dev/null || virtlogd -d >/dev/null 2>&1 || true
        pidof libvirtd >/dev/null || without_useless_kvm libvirtd -d >/dev/null 2>&1 </dev/null || true
    fi
    until libvirt_answers; do
        [ "$SECONDS" -lt "$deadline" ] || die "libvirt does not answer at qemu:///system; run 'libvirtd' by hand to see why"
        sleep 0.5
    done
}

# without_useless_kvm COMMAND…: runs the command where /dev/kvm cannot be seen, if the CPU could not use it anyway. There
# libvirtd would probe QEMU for KVM again at every start of a guest, seconds each time.
without_useless_kvm() {
    if [ -e /dev/kvm ] && ! grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && have unshare; then
        # Mounts made later on the host are still seen.
        unshare --mount --propagation slave sh -c 'mount --bind /dev/null /dev/kvm; exec "$@"' sh "$@"
    else
        "$@"
    fi
}

# installed PACKAGE: is the Debian package installed and configured?
installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }

# missing_packages PACKAGE…: prints those not installed. "a|b" is satisfied by either; the first that apt knows is named.
missing_packages() {
    local entry name names found
    for entry; do
        found=
        IFS='|' read -ra names <<<"$entry"
        for name in "${names[@]}"; do installed "$name" && found=1; done
        [ -z "$found" ] || continue
        for name in "${names[@]}"; do
            if [ -n "$(apt-cache --quiet=2 show "$name" 2>/dev/null | head -c1)" ]; then found=$name; break; fi
        done
        printf '%s\n' "${found:-${names[0]}}"
    done
}

# apt_quiet ARGUMENT…: apt-get without questions; waits for another apt that holds the lock.
apt_quiet() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -y -q -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# as_owner COMMAND…: runs a command as the user who called sudo when the source tree is that user's, so that no files of
# root are left in it; else as the caller.
as_owner() {
    if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$(stat -c %U "$ROOT")" = "$SUDO_USER" ]; then
        runuser -u "$SUDO_USER" -- env "PATH=$PATH" "HOME=$(home_of "$SUDO_USER")" ${RUSTUP_HOME:+"RUSTUP_HOME=$RUSTUP_HOME"} "$@"
    else
        "$@"
    fi
}
