#!/bin/sh
# Installs TrackFlow as a service on a Linux with systemd that takes no Debian package. May be run again any time.
set -eu

usage() {
    cat << 'TEXT'
usage: systemd/install.sh [--wheels DIR] [--no-start]
       systemd/install.sh --uninstall [--purge]

Installs trackflowd from this tree and the wheels of `make wheels`: a virtual environment under /opt/trackflow, units,
the user trackflow, /etc/trackflow/trackflow.toml. Run again, it upgrades: the new version is built beside the one that runs
and has to take the configuration; if it does not become ready, the one before runs again. Your configuration is kept.

  --wheels DIR   where the wheels are (dist/wheels of this tree); they fit one version of Python, see $PYTHON
  --no-start     put everything in place, start nothing
  --uninstall    stop and remove it; /var/lib/trackflow, /etc/trackflow and the user stay
  --purge        with --uninstall: remove those, too. Events in the embedded store are lost for good
  -h, --help     this text

  $PYTHON        the Python to use, 3.11 or later (/usr/bin/python3)
  $PATIENCE      seconds a new version may take to become ready (60)

examples:
  make wheels && sudo systemd/install.sh
  sudo PYTHON=/usr/bin/python3.12 systemd/install.sh --wheels /media/usb/wheels
  sudo systemd/install.sh --uninstall
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=systemd/release.sh
. "$here/release.sh"

stop() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

UNITS="trackflowd.service trackflowd.socket trackflow-geoupdate.service trackflow-geoupdate.timer"
ETC=/etc/systemd/system

install_files() {
    for unit in $UNITS; do install -m 644 "$here/$unit" "$ETC/$unit"; done
    backoff_install "$ETC" "$here/backoff.conf"
    install -D -m 644 "$here/trackflow.sysusers" /etc/sysusers.d/trackflow.conf
    install -D -m 644 "$here/trackflow.tmpfiles" /etc/tmpfiles.d/trackflow.conf
    install -D -m 644 "$here/trackflow.sysctl" /etc/sysctl.d/60-trackflow.conf
    mkdir -p "$BASE/doc/examples" /usr/local/bin
    install -m 644 "$here"/../docs/*.md "$BASE/doc/"
    install -m 644 "$here"/examples/* "$here/../docs/nginx.conf" "$BASE/doc/examples/"
    for name in trackflow trackflowd; do ln -sfn "$BASE/current/bin/$name" "/usr/local/bin/$name"; done
}

install_configuration() {
    if [ ! -e "$CONFIG" ]; then
        install -D -m 640 "$here/trackflow.toml" "$CONFIG"
    elif ! cmp -s "$here/trackflow.toml" "$CONFIG"; then
        say "$CONFIG is kept as it is"
    fi
}

do_install() {
    wheels=$(cd "$1" 2> /dev/null && pwd) || stop "there is no directory $1: type make wheels, on a machine of this kind"
    [ -f "$wheels/requirements.txt" ] || stop "no wheels in $wheels: type make wheels, on a machine of this kind"
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
        stop "$PYTHON is not a Python of 3.11 or later; name another: PYTHON=/usr/bin/python3.12 $0"
    "$PYTHON" -c 'import ensurepip, venv' 2> /dev/null || stop "$PYTHON has no venv module; install python3-venv or its like"
    if [ "$2" = no ] && booted && [ "$(systemctl is-active trackflowd.service)" = active ]; then
        stop "--no-start: the daemon runs. Stop it first, or leave the flag away to have it restarted"
    fi
    # The new release first: as long as it is not whole and content with the configuration, nothing else is touched.
    install_configuration
    release_build "$wheels" && release_check "$(release_name "$wheels")" || exit 1
    install_files
    systemd-sysusers /etc/sysusers.d/trackflow.conf
    systemd-tmpfiles --create /etc/tmpfiles.d/trackflow.conf
    if booted; then
        systemctl daemon-reload
        sysctl --quiet --load /etc/sysctl.d/60-trackflow.conf 2> /dev/null || true
    fi
    if [ "$2" = no ]; then
        release_link "$(release_name "$wheels")"
        say "all is in place: systemctl enable --now trackflowd"
        return
    fi
    systemctl --quiet enable trackflowd.socket trackflowd.service
    release_install "$wheels" || exit 1
    say "events are taken on 127.0.0.1:8080, for a web server to pass on ($BASE/doc/examples)."
    say "Sites: trackflow sites add example.org    Countries: systemctl enable --now trackflow-geoupdate.timer"
}

do_uninstall() {
    if booted; then
        systemctl --quiet disable --now trackflow-geoupdate.timer trackflowd.socket trackflowd.service 2> /dev/null || true
    fi
    for unit in $UNITS; do rm -f "$ETC/$unit"; done
    rm -rf "$ETC/trackflowd.service.d/backoff.conf" /etc/tmpfiles.d/trackflow.conf /etc/sysctl.d/60-trackflow.conf "$BASE"
    for name in trackflow trackflowd; do
        if [ "$(readlink "/usr/local/bin/$name")" = "$BASE/current/bin/$name" ]; then rm -f "/usr/local/bin/$name"; fi
    done
    if booted; then systemctl daemon-reload; fi
    if [ "$1" = yes ]; then
        rm -rf /var/lib/trackflow /var/log/trackflow /etc/trackflow /etc/default/trackflowd /etc/default/trackflow-geoupdate \
            /etc/sysusers.d/trackflow.conf
        say "removed, with /var/lib/trackflow and /etc/trackflow. The user trackflow is left: userdel trackflow"
    else
        say "removed. Events, sites and keys stay in /var/lib/trackflow, the configuration in /etc/trackflow (--purge removes both)"
    fi
}

verb=install purge=no start=yes wheels=$here/../dist/wheels
while [ $# -gt 0 ]; do
    case $1 in
        --wheels)
            [ $# -gt 1 ] || stop "--wheels: which directory?"
            wheels=$2
            shift
            ;;
        --no-start) start=no ;;
        --uninstall) verb=uninstall ;;
        --purge) purge=yes ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
if [ $verb = install ] && [ $purge = yes ]; then stop "--purge goes with --uninstall"; fi
[ "$(id -u)" = 0 ] || stop "must be root: sudo $0"
command -v systemctl > /dev/null || stop "there is no systemd here; docs/installation.md has other ways"
if dpkg-query --show --showformat='${db:Status-Status}' trackflow 2> /dev/null | grep -qx installed; then
    stop "the Debian package trackflow is installed: use apt for it, or remove it first"
fi
if [ $verb = install ]; then do_install "$wheels" $start; else do_uninstall $purge; fi
