# What the small shell of examples/userland knows, as other shells do it.
echo a "b  c" 'd $x' \e $? ; X=1 Y="two words"; echo $X "$Y" $Y
for i in 1 2 3; do echo $i; if [ $i = 2 ]; then break; fi; done
false || echo or && echo and; ! true; echo $?
echo one two | cat | cat -; (echo sub; exit 3); echo $?
echo x > f1; echo y >> f1; cat < f1; ls f* ; echo *; ls nonexist 2>/dev/null || echo none
ls nonexist > all 2>&1; echo $?; cat all | wc -l
n=; while [ "$n" != xxx ]; do n=x$n; echo $n; done; echo "$(echo inner; echo two)" $(echo a b)
{ echo g1; echo g2; } > g; cat g; sleep 0 & wait $!; echo w $?
nosuchcmd; echo $?
if false; then echo no; elif true; then echo elif; else echo else; fi
until true; do echo never; done; sh -c 'echo $0 $1 $#' n1 n2 n3; set -- p "q r"; for a in "$@"; do echo "<$a>"; done
export Z=zed; sh -c 'echo $Z'; Q=5 sh -c 'echo $Q'; echo "[$Q]"; echo "a\"b\$" 'it'"'"'s'
if ! false && true; then echo both; fi; x='a  b'; echo $x "$x"; echo "$x"'$x'; cd /; pwd
(exit 4) || echo "four $?"; { false; } || echo group; for f in /bin/nothing*; do echo "$f"; done; : > /dev/null; echo $?
sh -c 'kill $$'; echo $?; echo $(exit 3; echo no); y=$(exit 3); echo $?; exec 2>&1; echo end; exit 7
