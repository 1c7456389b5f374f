badelf
fuzz --seconds 60
memhog
forkbomb
echo alive
