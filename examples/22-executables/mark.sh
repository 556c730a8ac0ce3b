#!/bin/sh
# An action of one's own in sh: an empty file is there. How it is spoken to: `drplan explain executables`.
set -u
echo '{"drplan":1}'
read -r request

# A text of the request without a quote in it: in JSON a quote within a text never stands without a backslash.
text() { printf '%s\n' "$request" | sed -n 's/.*"'"$1"'":"\([^"\\]*\)".*/\1/p'; }
say() { printf '{"result":"%s","why":"%s"}\n' "$1" "${2-}"; exit 0; }

case $request in *'"drplan":1,'* | *'"drplan":1}'*) ;; *) say refused 'no request of version 1' ;; esac
if [ "$(text do)" = describe ]; then
    cat <<'END' | tr -d '\n'
{"result":"ok","description":{"drplan":1,"sentence":"Mark {file}","effect":"idempotent","undo":true,
"fields":{"file":{"type":"text","required":true,"doc":"the file that is to be there"}},
"commands":[{"what":"Make the file","argv":["touch","--","{file}"]}],
"undo_commands":[{"what":"Remove the file","argv":["rm","-f","--","{file}"]}],"sample":{"file":"{dir}/mark"}}}
END
    exit 0
fi
file=$(text file)
[ -n "$file" ] || say refused 'which file? (its name can have no quote and no backslash)'
case $(text do) in
before) printf '{"result":"ok","before":{"there":"%s"}}\n' "$([ -e "$file" ] && echo yes || echo no)" ;;
probe) if [ -e "$file" ]; then say there; else say not_there; fi ;;
apply) if touch -- "$file" 2>/dev/null; then echo '{"result":"ok","outputs":{}}'; else say refused 'it cannot be made'; fi ;;
undo)
    [ "$(text there)" = yes ] && say other 'it was there before'
    if rm -f -- "$file" 2>/dev/null; then say not_there; else say refused 'it cannot be removed'; fi
    ;;
*) say refused 'this word is not known here' ;;
esac
