tvtfast search --trials 100 --racing false --output-dir runs/long --quiet &
until test -s runs/long/scores.sqlite; do sleep 0.2; done
kill -9 $!
tvtfast search --trials 100 --racing false --output-dir runs/long
