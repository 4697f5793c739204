// The fuzzer's program. Built with -DFUZZ and the sanitizers (scripts/fuzz), it fuzzes:
//
//     Fuzz TARGET [options of libFuzzer] [corpora]
//
// Otherwise it replays inputs, each target those of the folder of its name, or the files given:
//
//     Fuzz --replay FOLDER          Fuzz TARGET FILES
//
// `Fuzz --list` names the targets.
Fuzzing.main()
