echo hello from a pipe | cat
echo $(for i in 1 2 3 4 5; do echo $i; done)
tr a-z A-Z < /etc/passwd
mkdir /tmp/d && cd /tmp/d && echo kept > f && cp f g && mv g h && ln -s h l && cat l && rm f h l && cd / && rmdir /tmp/d
ls /nowhere 2> /dev/null || echo lost $?
sh -c 'exit 7'; echo exited $?
sh -c 'kill -9 $$'; echo killed $?
trap 'echo caught USR1' USR1; kill -USR1 $$
sleep 10 & kill $!; wait $!; echo terminated $?
sh -c 'kill -STOP $$; echo stopped and continued' & sleep 0.2; kill -CONT $!; wait $!
seq 1 1000 | sort -n | tail -n 1
head -c 100000 /dev/urandom | gzip | gunzip | wc -c
head -c 2048000 /dev/zero | md5sum | sed 's/^a48266248c04b2ba733238a480690a1c.*/sum of zeroes/'
(sleep 0.1; echo background done) & wait
ps > /dev/null && mount -t tmpfs none /sys && touch /sys/x && ls /sys > /dev/null
echo end of daily
exit 5
