tvtfast search --data-set photos --teacher resnet10t --teacher-checkpoint teacher.pth --img-size 32 \
    --space pit --proxies teacher_aware weight_norm --param-limits 0.3 --trials 50 --output-dir runs/photos
tvtfast distill --arch runs/photos/best.json --data-set photos --img-size 32 \
    --teacher resnet10t --teacher-checkpoint teacher.pth --epochs 2 --output-dir runs/student
