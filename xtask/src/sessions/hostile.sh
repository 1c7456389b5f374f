badelf
fuzz
memhog
forkbomb
echo alive
