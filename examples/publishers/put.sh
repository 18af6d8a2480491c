#!/bin/sh
# Stores a file in a feed by curl.
#
#   put.sh SOCKET FEED FILE [VERSION]
#
# With VERSION, only in the place of that version. The exit codes are those of `livefeed publish`: 0 watchers see it;
# 1 it is refused; 2 the command line is wrong; 3 livefeed does not answer; 4 it is stored, and watchers are not shown it;
# and 5 another version is stored in that place.
set -eu
[ $# -ge 3 ] || { echo "put.sh SOCKET FEED FILE [VERSION]" >&2; exit 2; }
socket=$1 feed=$2 file=$3 version=${4:-}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# curl repeats a request that got no answer, or 429 or 503 with its Retry-After: a PUT may be repeated.
# The time is that for all of it. A limit for each try lets a livefeed that hangs count as one that does not answer.
status=$(curl --silent --unix-socket "$socket" --upload-file "$file" ${version:+--header "If-Match: \"$version\""} \
    --max-time 40 --retry 8 --retry-all-errors --retry-max-time "${PATIENCE:-60}" \
    --output "$answer" --write-out '%{http_code}' "http://localhost/feeds/$feed") || status=000

case $status in
200 | 201)
    exit 0 ;;
202)
    # It is safe, and an operator decides. Sending it again would change nothing.
    echo "stored, but not shown: the desk decides (livefeed ctl desk)" >&2
    cat "$answer" >&2
    exit 4 ;;
412)
    # Nothing is overwritten: look at what is stored now, and make the change there.
    echo "somebody else has stored another version" >&2
    exit 5 ;;
000 | 429 | 503 | 507)
    echo "livefeed does not answer: the file may not be stored" >&2
    exit 3 ;;
*)
    echo "refused ($status):" >&2
    cat "$answer" >&2
    exit 1 ;;
esac
