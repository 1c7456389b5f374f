# Runs the applications: what they cost goes to the errors, what they have written is shown by its hash.
cd /tmp
/userland/ticks bzip2-compress /bzip2 -9 -c /text > text.bz2
/userland/ticks bzip2-decompress /bzip2 -d -c text.bz2 > text
cmp text /text && echo "the text is the same again"
/userland/ticks lame /lame --quiet /sample.wav sample.mp3
wc -c text.bz2 sample.mp3
sha256sum text.bz2 sample.mp3
