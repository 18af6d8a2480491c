#!/bin/sh
# Publishes what a command prints, again and again.
#
#   every.sh SECONDS FEED COMMAND [ARGUMENT…]
#
# A command that fails publishes nothing: watchers keep the last good document. Each trouble is told once, not at each
# turn, and the next turn tries again by itself.
set -u
[ $# -ge 3 ] || { echo "every.sh SECONDS FEED COMMAND [ARGUMENT…]" >&2; exit 2; }
seconds=$1 feed=$2
shift 2
told=

tell() {
    [ "$1" = "$told" ] || echo "${1:-publishing again}" >&2
    told=$1
}

while :; do
    if ! document=$("$@"); then
        tell "the command fails: nothing is published"
    else
        why=$(printf '%s\n' "$document" | livefeed publish - --feed "$feed" 2>&1)
        case $? in
        0) tell "" ;;
        # It is stored, and an operator decides whether watchers see it.
        4) tell "stored, but not shown: ${why##* not shown: }" ;;
        # Refused, or nobody answers. The next document may fit, and livefeed may be back.
        *) tell "$why" ;;
        esac
    fi
    sleep "$seconds"
done
