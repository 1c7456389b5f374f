# Linux has its loopback down at first.
ifconfig lo 127.0.0.1 up 2> /dev/null
mkdir -p /www
for n in 1024 32768 262144 1048576; do head -c $n /dev/zero > /www/$n; done
httpd -p 80 -h /www
sleep 1
exec /userland/hbench http
