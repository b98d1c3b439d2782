# sh status.sh JOB: print success, failed or running
case "$(squeue --noheader --states=all --job "$1" --format=%T)" in
  COMPLETED) echo success ;;
  PENDING | RUNNING | COMPLETING | CONFIGURING | SUSPENDED | REQUEUED | "") echo running ;;
  *) echo failed ;;
esac
