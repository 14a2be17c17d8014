# shellcheck shell=sh
# For install.sh and the Debian package's scripts to read in: releases of trackflowd beside each other, one of them linked.
#
#   /opt/trackflow/releases/0.1.0-3f9a1c2e/    a virtual environment; the name ends with a hash of all that is in it
#   /opt/trackflow/current -> releases/…       the one that runs
#
# A release is built beside the others, without a network, and shown the configuration; only then is it linked and the
# daemon restarted. If it does not become ready, the one before is linked and started again.

BASE=/opt/trackflow
CONFIG=/etc/trackflow/trackflow.toml
PYTHON=${PYTHON:-/usr/bin/python3}
# Seconds for a release to become ready after its start. A drain before it (20 s) is not counted.
PATIENCE=${PATIENCE:-60}
NEED_MIB=1500

say() { printf 'trackflow: %s\n' "$*" >&2; }

# Whether systemd runs here; it does not in a chroot or while an image is built.
booted() { [ -d /run/systemd/system ]; }

# Name of the release that a directory of wheels makes.
release_name() {
    printf '%s-%.8s\n' "$(sed -n 's/^trackflowd==\([^ ]*\).*/\1/p' "$1/requirements.txt")" \
        "$(sha256sum < "$1/requirements.txt")"
}

# Name of the release that is linked; nothing if there is none.
release_current() {
    if [ -L $BASE/current ]; then basename "$(readlink $BASE/current)"; fi
}

# release_build WHEELS: make the release, unless it is there and whole.
release_build() {
    home=$BASE/releases/$(release_name "$1")
    if [ -e "$home/.complete" ]; then return 0; fi
    mkdir -p $BASE/releases
    free=$(($(df -Pk $BASE/releases | awk 'NR == 2 { print $4 }') / 1024))
    if [ "$free" -lt $NEED_MIB ]; then
        say "needs $NEED_MIB MiB of disk in $BASE, $free MiB are free: nothing was changed"
        return 1
    fi
    say "building $home"
    rm -rf "$home"
    # TMPDIR: /tmp may be memory. --isolated: nobody's pip settings. What the packages test themselves with is not compiled:
    # with it that takes longest; the daemon's user could not keep what it compiles.
    if ! { "$PYTHON" -m venv "$home" && mkdir "$home/tmp" &&
        TMPDIR=$home/tmp "$home/bin/python" -m pip --isolated install --quiet --disable-pip-version-check --no-cache-dir \
            --no-compile --no-index --find-links "$1" --require-hashes -r "$1/requirements.txt" &&
        "$home/bin/python" -m compileall -q -j 0 -x '/tests?/' "$home/lib"; } >&2; then
        rm -rf "$home"
        say "it could not be built: nothing was changed. The wheels are for the Python they were made with; this is" \
            "$("$PYTHON" --version 2>&1)"
        return 1
    fi
    rm -rf "$home/tmp"
    : > "$home/.complete"
}

# release_check NAME: whether that release takes the configuration; it says itself what is wrong.
release_check() {
    if "$BASE/releases/$1/bin/trackflowd" check -c $CONFIG > /dev/null; then return 0; fi
    say "$1 does not take $CONFIG, see above: nothing was changed, what ran before goes on. Mend it and install again"
    return 1
}

# release_link NAME: by a rename, so that there is one or the other.
release_link() {
    ln -sfn "releases/$1" $BASE/current.new && mv -T $BASE/current.new $BASE/current
}

# Whether the daemon says that what it takes reaches the store.
service_delivers() {
    socket=$($BASE/current/bin/trackflowd check -c $CONFIG 2> /dev/null | sed -n 's/^ *control *//p')
    [ -n "$socket" ] || return 1
    $BASE/current/bin/python - "$socket" 2> /dev/null << 'PY'
import sys
from trackflowd.client import Client

with Client.connect(sys.argv[1]) as client:
    sys.exit(not client.call("status")["health"]["ready"])
PY
}

# service_start DELIVERS: restart the daemon; whether it came up. With "yes" it has to deliver, too.
service_start() {
    systemctl reset-failed trackflowd.service 2> /dev/null || true
    systemctl restart trackflowd.service || return 1
    systemctl is-active --quiet trackflowd.service || return 1
    [ "$1" = yes ] || return 0
    end=$(($(date +%s) + PATIENCE))
    until service_delivers; do
        if [ "$(date +%s)" -ge $end ]; then return 1; fi
        if [ "$(systemctl show --property NRestarts --value trackflowd.service)" != 0 ]; then return 1; fi
        sleep 0.5
    done
}

# release_activate NAME: link it and restart the daemon; back to the one before if that does not come up.
release_activate() {
    was=$(release_current)
    state=$(systemctl is-active trackflowd.service || true)
    if [ "$was" = "$1" ] && [ "$state" = active ]; then
        say "$1 runs already"
        return 0
    fi
    # A store that is away now will be away for the new release, too: no reason to go back.
    delivers=no
    if [ "$was" ] && [ "$state" = active ] && service_delivers; then delivers=yes; fi
    release_link "$1" || return 1
    if [ "$was" ] && [ "$state" = inactive ]; then
        say "$1 is in place; the daemon was stopped and stays so"
        return 0
    fi
    if service_start $delivers; then
        say "$1 runs"
        return 0
    fi
    journalctl --no-pager --lines 20 --unit trackflowd.service >&2 || true
    if [ -z "$was" ] || [ "$was" = "$1" ]; then
        say "$1 does not come up, see above; systemd goes on trying"
        return 1
    fi
    release_link "$was"
    if service_start no; then
        say "$1 does not come up, see above: $was runs again, with the data it had"
    else
        say "$1 does not come up, and $was does not either any more: see journalctl -u trackflowd"
    fi
    return 1
}

# release_prune OLD: remove all releases but the linked one and OLD, the one before.
release_prune() {
    for home in "$BASE"/releases/*; do
        case ${home##*/} in
            "$(release_current)" | "$1") ;;
            *) rm -rf "$home" ;;
        esac
    done
}

# release_install WHEELS: all of it.
release_install() {
    name=$(release_name "$1")
    before=$(release_current)
    release_build "$1" && release_check "$name" || return 1
    if booted; then
        release_activate "$name" || return 1
    else
        release_link "$name"
    fi
    # Installed once more, the one before is still the one before.
    if [ "$before" != "$name" ]; then release_prune "$before"; fi
}

# backoff_install DIRECTORY-OF-UNITS FILE: pauses between restarts that grow, where systemd knows them.
backoff_install() {
    version=$(systemctl --version | awk 'NR == 1 { print $2 + 0 }')
    if [ "${version:-0}" -ge 254 ]; then
        install -D -m 644 "$2" "$1/trackflowd.service.d/backoff.conf"
    else
        rm -f "$1/trackflowd.service.d/backoff.conf"
    fi
}
