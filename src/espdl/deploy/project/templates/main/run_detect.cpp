    dl::image::jpeg_img_t jpeg = {};
    jpeg.data = const_cast<uint8_t *>(picture_start);
    jpeg.data_len = static_cast<size_t>(picture_end - picture_start);
    dl::image::img_t picture = dl::image::sw_decode_jpeg(jpeg, dl::image::DL_IMAGE_PIX_TYPE_RGB888);

    dl::image::ImagePreprocessor preprocessor(model, {@mean}, {@std});
    preprocessor.enable_letterbox({114, 114, 114});
    dl::detect::@postprocessor postprocessor(
        model, &preprocessor, @score_threshold, @nms_threshold, 10, {{8, 8, 4, 4}, {16, 16, 8, 8}, {32, 32, 16, 16}});
    preprocessor.preprocess(picture);
    model->run();
    postprocessor.clear_result();
    postprocessor.postprocess();
    for (const auto &found : postprocessor.get_result(picture.width, picture.height)) {
        ESP_LOGI(TAG,
                 "category %d, score %f, box %d %d %d %d",
                 found.category,
                 found.score,
                 found.box[0],
                 found.box[1],
                 found.box[2],
                 found.box[3]);
    }
    heap_caps_free(picture.data);
