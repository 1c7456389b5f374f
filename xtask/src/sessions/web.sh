mkdir -p /www/cgi-bin && cd /www
seq 1 200000 > /tmp/numbers
for n in 1024 32768 1048576; do head -c $n /tmp/numbers > $n; done
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"; touch /tmp/done; echo noted\n' > cgi-bin/done
chmod 755 cgi-bin/done
httpd -p 80 -h /www
until [ -e /tmp/done ]; do sleep 0.1; done
echo host served
for n in 1024 32768 1048576; do wget -q -O - http://127.0.0.1/$n | md5sum; done
wget -q -O - http://10.0.2.15/32768 | md5sum
wget -q -O - http://127.0.0.1/nothing || echo missing $?
wget -q -O - http://127.0.0.1:81/ || echo refused $?
nc -l -p 7000 < /tmp/numbers > /tmp/there & sleep 0.2
(cat 32768; sleep 0.5) | nc 127.0.0.1 7000 > /tmp/back; wait $!
cmp /tmp/there 32768 && cmp /tmp/back /tmp/numbers && echo both ways
(sleep 100 | nc -l -p 7001) & sleep 0.2; (sleep 100 | nc 127.0.0.1 7001) & sleep 0.2
echo end of web
exit 3
