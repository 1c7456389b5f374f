# run.sh SCRIPTS WORK: runs each SCRIPTS/*.session in a directory of its own below WORK, by the shell that runs this.
# What they print, and how they end, is between lines that name them.
export TZ=UTC LC_ALL=C
umask 022
[ -e /proc/self/stat ] || mount -t proc proc /proc
for script in "$1"/*.session; do
    name=$(basename "$script" .session)
    mkdir -p "$2/$name"
    echo "==> $name begins"
    # Through a pipe: some programs print otherwise on a terminal.
    { (cd "$2/$name" && sh "$script"); echo "==> $name ends with $?"; } 2>&1 < /dev/null | cat
done
